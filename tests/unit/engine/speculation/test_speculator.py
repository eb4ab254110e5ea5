"""From streams to drafts, on a machine on which rows cost nothing."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from collections.abc import Sequence as Collection

import pytest

from pyollama.engine.prefix import common_prefix
from pyollama.engine.sequence import Sequence
from pyollama.engine.speculation.speculator import MAX_ROWS, Draft, Drafts, Speculator
from pyollama.types import GenerateRequest

PHRASE = list(range(10, 40))


PROMPT = [*PHRASE, 1, 2]


def stream(name: str = "a", *, n_ctx: int = 0, max_tokens: int = -1, most: int = -1) -> Sequence:
    request = GenerateRequest(name, PROMPT, n_ctx=n_ctx, max_tokens=max_tokens, max_draft=most)
    return Sequence(request, 4096)


class Prompter:
    """A draft model that takes the answer to be ``answer``, at no cost."""

    def __init__(self, answer: list[int]) -> None:
        self.answer = answer
        self.forgotten: list[str] = []
        self.closed = False

    def round_seconds(self, streams: int) -> float:
        return 0.0

    def draft(self, wanted: Collection[tuple[Sequence, int]]) -> list[array[int]]:
        drafts = []
        for sequence, length in wanted:
            said = len(sequence.tokens) - len(PROMPT)
            drafts.append(array("i", self.answer[said : said + length]))
        return drafts

    def forget(self, sequence_id: str) -> None:
        self.forgotten.append(sequence_id)

    def close(self) -> None:
        self.closed = True


def steps(
    speculator: Speculator, streams: list[Sequence], answers: list[list[int]], room: int = 64
) -> Iterator[Drafts]:
    """Let each stream say its answer, with whatever of the drafts is right."""
    while all(
        len(each.tokens) < len(PROMPT) + len(answer)
        for each, answer in zip(streams, answers, strict=True)
    ):
        drafts = speculator.draft(streams, room) or Drafts([Draft(each) for each in streams])
        assert drafts.rows <= max(room, len(streams))
        yield drafts
        sampled = []
        for draft, answer in zip(drafts.each, answers, strict=True):
            tokens = draft.sequence.tokens
            before = len(tokens)
            rest = answer[before - len(PROMPT) :]
            right = common_prefix(draft.tokens, array("i", rest), len(rest) - 1)
            for token in rest[: right + 1]:
                draft.sequence.append(token)
            sampled.append(len(tokens) - before)
        speculator.observe(drafts, sampled, 1.0)


def lengths(drafts: Drafts) -> list[int]:
    return [len(draft.tokens) for draft in drafts.each]


def test_a_text_that_repeats_itself_is_drafted() -> None:
    speculator, text = Speculator(4096), stream()
    rows = [drafts.rows for drafts in steps(speculator, [text], [PHRASE * 10])]
    assert len(rows) < 60
    assert max(rows) > 10


def test_a_text_that_says_nothing_twice_is_not() -> None:
    speculator, text = Speculator(4096), stream()
    answer = list(range(1000, 1100))
    assert all(drafts.rows == 1 for drafts in steps(speculator, [text], [answer]))


@pytest.mark.parametrize("most", [0, 3])
def test_a_request_says_how_much_is_drafted(most: int) -> None:
    speculator, text = Speculator(4096), stream(most=most)
    drafted = [len(each.each[0].tokens) for each in steps(speculator, [text], [PHRASE * 10])]
    assert max(drafted) == most


def test_nothing_is_drafted_behind_the_end() -> None:
    for text in (stream(max_tokens=100), stream(n_ctx=len(PROMPT) + 100)):
        speculator = Speculator(4096)
        drafted = []
        for drafts in steps(speculator, [text], [(PHRASE * 4)[:100]]):
            drafted += lengths(drafts)
            assert drafted[-1] < text.wanted
        assert max(drafted) > 10
        assert text.wanted == 0


def test_a_full_step_has_no_drafts() -> None:
    speculator = Speculator(4096)
    streams = [stream(str(n)) for n in range(4)]
    for drafts in steps(speculator, streams, [PHRASE * 3] * 4, room=4):
        assert drafts.rows == 4
    many = [stream(str(n)) for n in range(MAX_ROWS)]
    assert all(drafts.rows == MAX_ROWS for drafts in steps(speculator, many, [PHRASE] * MAX_ROWS))


def test_the_model_drafts_where_the_text_has_nothing_to_say() -> None:
    new = list(range(1000, 1500))
    speculator, text = Speculator(4096, Prompter(new)), stream()
    drafted = [drafts.each[0] for drafts in steps(speculator, [text], [new])]
    assert len(drafted) < 60
    assert all(draft.by_model for draft in drafted if draft.tokens)


def test_a_model_that_is_always_wrong_is_not_asked_for_long() -> None:
    speculator, text = Speculator(4096, Prompter([7] * 400)), stream()
    drafted = [drafts.rows > 1 for drafts in steps(speculator, [text], [list(range(1000, 1400))])]
    assert sum(drafted) < 40
    assert not any(drafted[-50:])


def test_nothing_stays_of_a_request_that_is_over() -> None:
    model = Prompter([])
    speculator, text = Speculator(4096, model), stream()
    speculator.draft([text], 64)
    assert speculator._lookups
    speculator.forget(text)
    assert (len(speculator._lookups), model.forgotten) == (0, ["a"])
    speculator.close()
    assert model.closed
