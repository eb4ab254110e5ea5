"""Drafts by a second model, here one that says the same as the first."""

from __future__ import annotations

from tests.unit.engine.simulated import SimulatedBackend, SimulatedSampler

from pyollama.engine.sequence import Sequence
from pyollama.engine.speculation.model_drafter import ModelDrafter
from pyollama.errors import NativeError
from pyollama.types import GenerateRequest

TEXT = [(5 * n) % 30 + 1 for n in range(40)]


def drafter_on(backend: SimulatedBackend) -> ModelDrafter[SimulatedSampler]:
    return ModelDrafter(backend)


def sequence(tokens: list[int], name: str = "a") -> Sequence:
    return Sequence(GenerateRequest(name, tokens), 64)


def continued(tokens: list[int], count: int) -> list[int]:
    """What the model says, every token computed from scratch."""
    text = list(tokens)
    for _ in range(count):
        drafter = drafter_on(SimulatedBackend(rows=64))
        (draft,) = drafter.draft([(sequence(text), 1)])
        text += draft.tolist()
    return text[len(tokens) :]


def test_it_says_what_the_model_says() -> None:
    drafter = drafter_on(SimulatedBackend(rows=64))
    one, two = sequence(TEXT), sequence([3, 4, 5], "b")
    drafts = drafter.draft([(one, 5), (two, 2)])
    assert [draft.tolist() for draft in drafts] == [continued(TEXT, 5), continued([3, 4, 5], 2)]


def test_it_goes_on_from_what_was_accepted() -> None:
    backend = SimulatedBackend(rows=64)
    drafter = drafter_on(backend)
    text = sequence(TEXT)
    (draft,) = drafter.draft([(text, 4)])
    for token in [*draft[:2], 17]:
        text.append(token)
    before = backend.decoded
    (second,) = drafter.draft([(text, 3)])
    assert second.tolist() == continued(text.tokens.tolist(), 3)
    assert backend.decoded - before == 3


def test_a_long_text_is_read_in_several_steps() -> None:
    backend = SimulatedBackend(rows=16)
    drafter = drafter_on(backend)
    text = sequence(TEXT)
    drafts = [drafter.draft([(text, 2)])[0].tolist() for _ in range(3)]
    assert drafts == [[], [], continued(TEXT, 2)]


def test_a_text_that_begins_alike_is_not_read_again() -> None:
    backend = SimulatedBackend(rows=64)
    drafter = drafter_on(backend)
    drafter.draft([(sequence(TEXT), 1)])
    drafter.forget("a")
    before = backend.decoded
    (draft,) = drafter.draft([(sequence([*TEXT, 9], "b"), 1)])
    assert draft.tolist() == continued([*TEXT, 9], 1)
    assert backend.decoded - before == 1


def test_more_texts_than_places() -> None:
    drafter = drafter_on(SimulatedBackend(n_slots=2))
    wanted = [(sequence([n, 2, 3], str(n)), 2) for n in range(1, 4)]
    assert [len(draft) for draft in drafter.draft(wanted)] == [2, 2, 0]
    drafter.forget("1")
    assert [len(draft) for draft in drafter.draft(wanted[1:])] == [2, 2]


def test_a_failure_only_means_that_there_are_no_drafts() -> None:
    backend = SimulatedBackend(rows=64)
    drafter = drafter_on(backend)
    text = sequence(TEXT)
    backend.failures = [None, None, NativeError("broken")]
    assert len(drafter.draft([(text, 4)])[0]) == 1
    assert drafter.draft([(text, 3)])[0].tolist() == continued(TEXT, 3)


def test_closing() -> None:
    backend = SimulatedBackend()
    drafter = drafter_on(backend)
    drafter.close()
    assert backend.closed and all(sampler.closed for sampler in backend.samplers)
