"""The generator with drafts, right and wrong ones: answers stay those without."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence as Collection

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.engine.simulated import SimulatedBackend, SimulatedSampler
from tests.unit.engine.test_generator import Bench, alone, prompts, request

from pyollama.engine.generator import Generator
from pyollama.engine.sequence import Sequence
from pyollama.engine.speculation.model_drafter import ModelDrafter
from pyollama.engine.speculation.policy import DraftPolicy, Prospect
from pyollama.engine.speculation.speculator import Speculator
from pyollama.errors import Aborted, NativeError, OutOfCells
from pyollama.types import Failed, GenerateRequest, Tokens


class Reckless(DraftPolicy):
    """Drafts any length, whatever it costs."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def lengths(self, prospects: Collection[Prospect], max_rows: int) -> list[int]:
        lengths = []
        room = max_rows - len(prospects)
        for prospect in prospects:
            length = self._random.randint(0, max(min(len(prospect.chances), 6, room), 0))
            lengths.append(length)
            room -= length
        return lengths


class Careless(ModelDrafter[SimulatedSampler]):
    """Knows what the model is going to say, and gets some of it wrong."""

    def __init__(self, backend: SimulatedBackend, wrong: float, seed: int) -> None:
        super().__init__(backend)
        self._wrong = wrong
        self._random = random.Random(seed)

    def draft(self, wanted: Collection[tuple[Sequence, int]]) -> list[array[int]]:
        return [
            array("i", [3 if self._random.random() < self._wrong else token for token in draft])
            for draft in super().draft(wanted)
        ]


def drafting(backend: SimulatedBackend, *, wrong: float = 0.0, seed: int = 0) -> Bench:
    bench = Bench(backend)
    n_ctx = backend.info.n_ctx
    model = SimulatedBackend(n_ctx=n_ctx, n_slots=backend.info.n_slots, rows=64)
    speculator = Speculator(n_ctx, Careless(model, wrong, seed), Reckless(seed))
    bench.generator = Generator(backend, bench.events.append, speculator=speculator)
    return bench


def test_right_drafts_save_steps() -> None:
    steps = {}
    for most in (0, 6):
        bench = drafting(SimulatedBackend())
        bench.add(request([1, 2, 3], max_tokens=40, ignore_eos=True, max_draft=most))
        steps[most] = 0
        while bench.generator.busy:
            bench.generator.step()
            steps[most] += 1
        usage = bench.finished("a").usage
        assert usage.completion_tokens == 40
        assert usage.accepted_tokens == usage.draft_tokens == 40 - steps[most]
    assert steps[6] < steps[0] / 2


def test_wrong_drafts_are_cut_from_the_cache() -> None:
    backend = SimulatedBackend()
    bench = drafting(backend, wrong=0.5)
    wanted = request([1, 2, 3], max_tokens=40, ignore_eos=True)
    bench.run(wanted)
    usage = bench.finished("a").usage
    assert 0 < usage.accepted_tokens < usage.draft_tokens
    assert bench.outcome("a") == alone(wanted, backend)
    said = [token for event in bench.of("a") if isinstance(event, Tokens) for token in event.tokens]
    assert backend.held()[0] == [1, 2, 3, *said][: len(backend.held()[0])]


def test_each_token_has_its_own_logprob() -> None:
    bench = drafting(SimulatedBackend())
    bench.run(request([1, 2], max_tokens=20, ignore_eos=True, logprobs=1))
    chunks = [event for event in bench.events if isinstance(event, Tokens)]
    assert len(chunks) > 10
    assert all(len(chunk.logprobs) == 1 for chunk in chunks)


def test_an_answer_with_drafts_that_cannot_go_on_ends_alone() -> None:
    backend = SimulatedBackend()
    backend.fails_after = {2: 5}
    bench = drafting(backend)
    wanted = [request([n, 7, 8], str(n), max_tokens=20, ignore_eos=True) for n in (1, 2, 3)]
    bench.run(*wanted)
    assert bench.failure("2") == "invalid_grammar"
    for each in (wanted[0], wanted[2]):
        assert bench.finished(each.id).usage.accepted_tokens > 0
        assert bench.outcome(each.id) == alone(each, backend)
    assert bench.generator.cells_used == backend.used


def test_memory_that_only_gives_back_the_last_step_has_drafts() -> None:
    backend = SimulatedBackend(can_trim=False, can_undo=True)
    bench = drafting(backend, wrong=0.5)
    wanted = request([1, 2, 3], max_tokens=40, ignore_eos=True)
    bench.run(wanted)
    usage = bench.finished("a").usage
    assert 0 < usage.accepted_tokens < usage.draft_tokens
    assert bench.outcome("a") == alone(wanted, backend)


def test_memory_that_cannot_be_cut_has_no_drafts() -> None:
    bench = drafting(SimulatedBackend(can_trim=False))
    bench.run(request([1, 2, 3], max_tokens=40, ignore_eos=True))
    assert bench.finished("a").usage.draft_tokens == 0


def test_drafts_only_take_cells_that_are_free() -> None:
    """A retired prefix is worth more than a guess."""
    backend = SimulatedBackend(n_slots=2, cells=50)
    bench = drafting(backend, wrong=0.5)
    bench.run(request([7] * 20, max_tokens=1))
    bench.run(request([1, 2, 3], "b", max_tokens=27, ignore_eos=True))
    assert bench.finished("b").usage.draft_tokens > 0
    bench.run(request([7] * 21, "c", max_tokens=1))
    assert bench.finished("c").usage.cached_tokens == 20


requests = st.builds(
    GenerateRequest,
    id=st.just(""),
    tokens=prompts,
    max_tokens=st.integers(-1, 30),
    stop=st.lists(st.text("abé ", min_size=1, max_size=2), max_size=2).map(tuple),
    shift=st.booleans(),
    n_keep=st.integers(-1, 8),
    ignore_eos=st.booleans(),
).filter(lambda wanted: wanted.max_tokens >= 0 or not (wanted.shift and wanted.ignore_eos))


@settings(max_examples=40)
@given(
    st.lists(requests, min_size=1, max_size=6),
    st.lists(st.sampled_from([None, Aborted("now"), OutOfCells("now")]), max_size=20),
    st.integers(1, 4),
    st.sampled_from([8, 16, 64]),
    st.sampled_from([0.0, 0.3]),
    st.integers(0, 5),
)
def test_any_company_gives_the_answers_of_a_lone_request(
    wanted: list[GenerateRequest],
    failures: list[Exception | None],
    n_slots: int,
    rows: int,
    wrong: float,
    seed: int,
) -> None:
    backend = SimulatedBackend(n_slots=n_slots, rows=rows)
    bench = drafting(backend, wrong=wrong, seed=seed)
    backend.failures = failures
    wanted = [msgspec.structs.replace(each, id=str(n)) for n, each in enumerate(wanted)]
    bench.run(*wanted)
    for each in wanted:
        end = bench.end(each.id)
        if isinstance(end, Failed):
            assert end.error.code == "out_of_cells"
        else:
            assert bench.outcome(each.id) == alone(each, backend)
    held = {slot.index: list(slot.tokens) for slot in bench.generator._slots}
    assert held == {index: backend.held()[index] for index in held}


def test_a_failed_step_with_drafts_fails_those_in_it() -> None:
    backend = SimulatedBackend()
    bench = drafting(backend)
    backend.failures = [None, None, NativeError("broken")]
    bench.run(request([1, 2], max_tokens=40, ignore_eos=True))
    assert bench.failure("a") == "native_error"
    assert not any(backend.held().values())
