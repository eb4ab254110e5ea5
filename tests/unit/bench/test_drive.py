from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from bench.dialects import Piece
from bench.drive import Measured, in_turn, play
from bench.workloads import SHAPES, Clients, Conversation, Embedding, Generation, build


class Parrot:
    """Says a number of words that grows with the prompt's turns."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    async def complete(self, prompt: str, max_tokens: int) -> AsyncGenerator[Piece, None]:
        self.prompts.append(prompt)
        for n in range(max_tokens):
            yield Piece(f" {n}", n + 1)
        yield Piece("", max_tokens, {"done": True})

    async def embed(self, texts: tuple[str, ...]) -> int:
        return len(texts)

    async def close(self) -> None: ...


async def test_a_turn_goes_on_from_what_was_said() -> None:
    parrot = Parrot()
    measured = await play(parrot, Generation((Conversation((" a", " b"), 2),)))
    assert parrot.prompts == [" a", " a 0 1 b"]
    assert measured.n_output == 4
    assert len(measured.first_token) == 2
    assert len(measured.gaps) == 2  # one between the two words of each turn
    assert measured.rate == pytest.approx(4 / measured.wall)


async def test_texts_are_counted() -> None:
    assert (await play(Parrot(), Embedding(("a", "b", "c")))).n_output == 3


def test_summary_has_what_was_measured() -> None:
    assert Measured(1, 2, 3).summary() == {"rate": 1, "wall": 2, "n_output": 3}
    full = Measured(1, 2, 3, first_token=[1.0, 3.0], gaps=[0.1]).summary()
    assert (full["ttft_p50"], full["ttft_max"], full["gap_p99"]) == (2.0, 3.0, 0.1)


def test_everybody_goes_first_once() -> None:
    orders = [in_turn("abc", number) for number in range(3)]
    assert sorted(order[0] for order in orders) == ["a", "b", "c"]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)


@pytest.mark.parametrize("name", SHAPES)
def test_workloads_have_their_shape(name: str) -> None:
    shape, workload = SHAPES[name], build(name, 1)
    assert workload == build(name, 1)
    assert workload != build(name, 2)
    if isinstance(workload, Generation):
        assert isinstance(shape, Clients)
        assert len(workload.conversations) == shape.n
        for conversation in workload.conversations:
            n_words = sum(len(turn.split()) for turn in conversation.turns)
            n_answers = len(shape.turns) * conversation.max_tokens
            assert n_words + n_answers == shape.tokens_each
    else:
        assert all(10 <= len(text.split()) <= 90 for text in workload.texts)


def test_clients_share_their_system_text_and_nothing_else() -> None:
    workload = build("shared8", 0)
    assert isinstance(workload, Generation)
    first = [conversation.turns[0].split() for conversation in workload.conversations]
    assert len({tuple(words[:1000]) for words in first}) == 1
    assert len({tuple(words[1000:]) for words in first}) == 8
