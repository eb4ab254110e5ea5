"""The generator on a simulated backend: whatever happens, answers are those of a lone request."""

from __future__ import annotations

import logging
from array import array
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.engine.simulated import SimulatedBackend, SimulatedSampler

from pyollama.engine.generator import Generator
from pyollama.engine.job import Job
from pyollama.engine.scheduler import MOST_YIELDS
from pyollama.engine.tier import Tier
from pyollama.engine.totals import Totals
from pyollama.errors import Aborted, NativeError, OutOfCells
from pyollama.types import (
    Adapters,
    ContextShifted,
    EngineEvent,
    Failed,
    Finished,
    GenerateRequest,
    Grammar,
    SamplingParams,
    Tokens,
    Usage,
)

SYSTEM = list(range(1, 41))


@dataclass
class Bench:
    backend: SimulatedBackend
    events: list[EngineEvent] = field(default_factory=list)
    tier: Tier | None = None

    def __post_init__(self) -> None:
        self.generator: Generator[SimulatedSampler] = Generator(
            self.backend, self.events.append, self.tier
        )

    def add(self, request: GenerateRequest) -> None:
        self.generator.add(Job(request, self.backend.info.n_ctx, submitted=0))

    def run(self, *requests: GenerateRequest) -> list[EngineEvent]:
        for request in requests:
            self.add(request)
        for _ in range(10_000):
            if not self.generator.busy:
                return self.events
            self.generator.step()
        raise AssertionError("the generator does not come to an end")

    def of(self, request_id: str) -> list[EngineEvent]:
        return [event for event in self.events if event.id == request_id]

    def end(self, request_id: str) -> Finished | Failed:
        *before, last = self.of(request_id)
        assert isinstance(last, Finished | Failed)
        assert not any(isinstance(event, Finished | Failed) for event in before)
        return last

    def finished(self, request_id: str) -> Finished:
        end = self.end(request_id)
        assert isinstance(end, Finished), end
        return end

    def failure(self, request_id: str) -> str:
        end = self.end(request_id)
        assert isinstance(end, Failed), end
        return end.error.code

    def text(self, request_id: str) -> str:
        return "".join(event.text for event in self.of(request_id) if isinstance(event, Tokens))

    def outcome(self, request_id: str) -> tuple[str, str]:
        """What a client sees: the text, and why it ended."""
        end = self.end(request_id)
        why = end.error.code if isinstance(end, Failed) else f"{end.reason} {end.limit}"
        return self.text(request_id), why


def request(tokens: list[int], request_id: str = "a", **fields: object) -> GenerateRequest:
    return msgspec.structs.replace(GenerateRequest(request_id, tokens, max_tokens=8), **fields)


def scripted(*tokens: int) -> Bench:
    bench = Bench(SimulatedBackend())
    bench.backend.script = list(tokens)
    return bench


def letters(text: str) -> list[int]:
    return [6 + ord(letter) - ord("a") for letter in text]


# --- how an answer ends ---------------------------------------------------------------------------


def test_end_of_generation_counts_but_is_not_text() -> None:
    bench = scripted(*letters("hi"), 0)
    bench.run(request([1, 2, 3]))
    end = bench.finished("a")
    assert (bench.text("a"), end.reason, end.limit, end.stop) == ("hi", "stop", "", "")
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (3, 3)


def test_an_answer_that_ends_at_once_has_one_token() -> None:
    bench = scripted(0)
    bench.run(request([1, 2, 3]))
    assert (bench.text("a"), bench.finished("a").usage.completion_tokens) == ("", 1)


def test_stop_text() -> None:
    bench = scripted(*letters("abcde"))
    bench.run(request([1, 2], stop=("cd",)))
    end = bench.finished("a")
    assert (bench.text("a"), end.reason, end.stop) == ("ab", "stop", "cd")
    assert end.usage.completion_tokens == 4


def test_an_empty_stop_text_ends_after_one_token() -> None:
    bench = scripted(*letters("abc"))
    bench.run(request([1, 2], stop=("",)))
    end = bench.finished("a")
    assert (bench.text("a"), end.reason, end.usage.completion_tokens) == ("", "stop", 1)


def test_max_tokens_shows_what_was_held_back() -> None:
    bench = scripted(*letters("abcx"))
    bench.run(request([1, 2], max_tokens=3, stop=("cd",)))
    end = bench.finished("a")
    assert (bench.text("a"), end.reason, end.limit) == ("abc", "length", "max_tokens")


def test_without_tokens_wanted_the_prompt_is_computed() -> None:
    bench = Bench(SimulatedBackend())
    bench.run(request([1, 2, 3], max_tokens=0))
    end = bench.finished("a")
    assert (end.reason, end.usage.completion_tokens) == ("length", 0)
    assert bench.backend.held()[0] == [1, 2, 3]


def test_a_context_that_is_full_is_a_limit() -> None:
    bench = Bench(SimulatedBackend(n_ctx=64))
    bench.run(request([1] * 21, n_ctx=32, max_tokens=-1, ignore_eos=True))
    end = bench.finished("a")
    assert (end.reason, end.limit) == ("length", "context")
    assert end.usage.completion_tokens == 32 - 21


def test_a_context_that_is_full_is_shifted() -> None:
    bench = Bench(SimulatedBackend(n_ctx=16))
    bench.run(request([1] * 5, max_tokens=40, ignore_eos=True, shift=True, n_keep=3))
    shifts = [event for event in bench.events if isinstance(event, ContextShifted)]
    assert shifts[0] == ContextShifted("a", kept=3, discarded=(15 - 3) // 2)
    assert len(shifts) > 3
    end = bench.finished("a")
    assert (end.limit, end.usage.completion_tokens) == ("max_tokens", 40)


def test_behind_a_shift_the_cache_is_not_offered() -> None:
    backend = SimulatedBackend(n_ctx=16, n_slots=1)
    bench = Bench(backend)
    bench.run(request([1] * 5, max_tokens=14, ignore_eos=True, shift=True, n_keep=3))
    shifted = backend.held()[0]
    bench.run(request([*shifted, 9], "b", max_tokens=1))
    assert bench.finished("b").usage.cached_tokens == 3
    fresh = Bench(SimulatedBackend(n_ctx=16, n_slots=1))
    fresh.run(request([*shifted, 9], "b", max_tokens=1))
    assert bench.text("b") == fresh.text("b")


def test_a_prompt_that_does_not_fit() -> None:
    bench = Bench(SimulatedBackend())
    bench.run(request([1] * 32, n_ctx=32))
    end = bench.end("a")
    assert isinstance(end, Failed) and end.error.code == "context_length_exceeded"
    assert end.error.details == {"prompt_tokens": 32, "context_length": 32}


def test_a_prompt_without_tokens() -> None:
    bench = Bench(SimulatedBackend())
    bench.run(request([]))
    assert bench.failure("a") == "invalid_request"


def test_a_grammar_that_cannot_be_used_fails_only_its_request() -> None:
    bench = Bench(SimulatedBackend())
    bad = SamplingParams(grammar=Grammar("nonsense"))
    bench.run(request([1, 2], sampling=bad), request([3, 4], "b"))
    assert bench.failure("a") == "invalid_grammar"
    assert bench.finished("b").usage.completion_tokens > 0


def test_a_model_for_embeddings_does_not_generate() -> None:
    bench = Bench(SimulatedBackend(embeddings=True))
    bench.run(request([1, 2]))
    assert bench.failure("a") == "unsupported_capability"


# --- what goes out --------------------------------------------------------------------------------


def test_every_chunk_has_one_logprob() -> None:
    bench = scripted(1, 2, *letters("x"), 0)
    bench.run(request([1, 2], logprobs=2))
    chunks = [event for event in bench.events if isinstance(event, Tokens)]
    assert [(chunk.text, chunk.tokens) for chunk in chunks] == [("é", (1, 2)), ("x", (29,))]
    (entry,) = chunks[0].logprobs
    assert (entry.token, entry.logprob, entry.bytes) == ("é", -1.0, "é".encode())
    assert [top.token for top in entry.top] == ["0", "1"]


def test_special_tokens_are_only_shown_where_they_are_preserved() -> None:
    for preserved, text in (((), "ab"), ((39,), "a<39>b")):
        bench = scripted(*letters("a"), 39, *letters("b"), 0)
        bench.run(request([1, 2], preserved_tokens=preserved))
        assert bench.text("a") == text


def test_usage_has_times_for_all_that_happened() -> None:
    bench = Bench(SimulatedBackend())
    bench.run(request([1, 2, 3]))
    usage = bench.finished("a").usage
    assert usage.queue_duration > 0 and usage.prompt_duration > 0 and usage.eval_duration > 0


def test_a_request_that_never_started_has_no_times() -> None:
    bench = Bench(SimulatedBackend(n_slots=1))
    bench.add(request([1, 2]))
    bench.add(request([1, 2], "b"))
    bench.generator.step()
    bench.generator.abort("b")
    assert bench.finished("b").reason == "aborted"
    usage = bench.finished("b").usage
    assert usage == Usage(prompt_tokens=2, queue_duration=usage.queue_duration)


# --- shared prefixes ------------------------------------------------------------------------------


def test_a_prefix_is_computed_once_for_all_that_ask_at_the_same_time() -> None:
    backend = SimulatedBackend(n_slots=8)
    bench = Bench(backend)
    bench.run(*(request([*SYSTEM, n], str(n), max_tokens=1) for n in range(8)))
    assert backend.decoded == len(SYSTEM) + 8
    cached = [bench.finished(str(n)).usage.cached_tokens for n in range(8)]
    assert cached == [0] + [len(SYSTEM)] * 7


def test_the_next_turn_only_computes_what_is_new() -> None:
    backend = SimulatedBackend()
    bench = Bench(backend)
    bench.run(request(SYSTEM, ignore_eos=True))
    before, held = backend.decoded, backend.held()[0]
    bench.run(request([*held, 5, 6], "b", max_tokens=1))
    assert backend.decoded - before == 2
    assert bench.finished("b").usage.cached_tokens == len(held)


# --- when something goes wrong --------------------------------------------------------------------


def alone(wanted: GenerateRequest, backend: SimulatedBackend) -> tuple[str, str]:
    limits = backend.limits
    fresh = SimulatedBackend(
        n_ctx=backend.info.n_ctx, n_slots=1, rows=limits.rows, cells=limits.cells
    )
    bench = Bench(fresh)
    bench.run(wanted)
    return bench.outcome(wanted.id)


def test_out_of_cells_gives_up_retired_prefixes_first() -> None:
    backend = SimulatedBackend(n_slots=2, cells=50)
    bench = Bench(backend)
    bench.run(request(SYSTEM, max_tokens=1))
    bench.run(request([9, 8] * 15, "b"))
    assert bench.finished("b").usage.completion_tokens > 0


def test_a_request_waits_until_there_are_cells_for_it() -> None:
    backend = SimulatedBackend(n_slots=2, cells=50)
    bench = Bench(backend)
    bench.run(request([1] * 30), request([2] * 30, "b"))
    assert [len(prompt) for prompt in backend.prompts] == [30, 30]
    assert bench.outcome("a") == alone(request([1] * 30), backend)
    assert bench.outcome("b") == alone(request([2] * 30, "b"), backend)
    assert bench.generator.preemptions == 0


def test_the_youngest_gives_way_when_cells_run_out_and_loses_nothing() -> None:
    backend = SimulatedBackend(n_slots=3, cells=160)
    bench = Bench(backend)
    wanted = [
        request([n] * 16, str(n), max_tokens=-1, n_ctx=60 + n, ignore_eos=True, max_draft=0)
        for n in (1, 2, 3)
    ]
    bench.run(*wanted)
    for each in wanted:
        assert bench.outcome(each.id) == alone(each, backend)
    assert bench.generator.preemptions == 1
    ends = [event.id for event in bench.events if isinstance(event, Finished)]
    assert ends == ["1", "2", "3"], "the youngest pauses, the others do not notice"
    assert backend.decoded == sum(60 + n - 1 for n in (1, 2, 3)), "nothing is computed again"


def test_a_state_that_cannot_be_kept_is_computed_again() -> None:
    class Forgetful(SimulatedBackend):
        def save(self, sequence: int) -> bytes:
            raise NativeError("no room")

    backend = Forgetful(n_slots=3, cells=160)
    bench = Bench(backend)
    wanted = [
        request([n] * 16, str(n), max_tokens=-1, n_ctx=60 + n, ignore_eos=True) for n in (1, 2, 3)
    ]
    bench.run(*wanted)
    for each in wanted:
        assert bench.outcome(each.id) == alone(each, backend)
    assert bench.generator.preemptions == 1
    assert backend.decoded > sum(60 + n - 1 for n in (1, 2, 3))


def test_what_alone_needs_more_than_all_cells_fails_with_the_reason() -> None:
    bench = Bench(SimulatedBackend(n_slots=2, cells=50))
    bench.run(request([1] * 51), request([2] * 30, "b", max_tokens=-1, ignore_eos=True))
    assert bench.failure("a") == bench.failure("b") == "out_of_cells"
    assert len(bench.text("b")) > 0


# --- priorities, tiers, and what operators see ----------------------------------------------------


def test_the_lowest_priority_gives_way() -> None:
    backend = SimulatedBackend(n_slots=3, cells=160)
    bench = Bench(backend)
    priorities = {"1": "batch", "2": "normal", "3": "interactive"}
    wanted = [
        request([int(name)] * 16, name, max_tokens=-1, n_ctx=62, ignore_eos=True, priority=priority)
        for name, priority in priorities.items()
    ]
    for each in wanted:
        bench.add(each)
        bench.generator.step()
    bench.run()
    ends = [event.id for event in bench.events if isinstance(event, Finished)]
    assert ends == ["2", "3", "1"] and bench.generator.preemptions == 1
    for each in wanted:
        assert bench.outcome(each.id) == alone(each, backend)


def test_what_is_urgent_takes_the_slot_of_what_is_not() -> None:
    backend = SimulatedBackend(n_slots=2)
    bench = Bench(backend)
    batch = [
        request([n, n], str(n), priority="batch", max_tokens=40, ignore_eos=True) for n in (1, 2)
    ]
    for each in batch:
        bench.add(each)
    for _ in range(5):
        bench.generator.step()
    urgent = [request([3, n], f"urgent{n}", priority="interactive") for n in range(12)]
    for each in urgent:
        bench.run(each) if each is urgent[-1] else bench.add(each)
        bench.generator.step()
    ends = [event.id for event in bench.events if isinstance(event, Finished)]
    assert ends[0].startswith("urgent") and len(ends) == 14
    assert 0 < bench.generator.preemptions <= 2 * MOST_YIELDS
    for each in [*batch, *urgent]:
        assert bench.outcome(each.id) == alone(each, backend)


def test_what_is_urgent_is_begun_first() -> None:
    backend = SimulatedBackend(n_slots=1)
    bench = Bench(backend)
    bench.run(
        request([1, 1], "a", priority="batch"),
        request([2, 2], "b"),
        request([3, 3], "c", priority="interactive"),
    )
    assert backend.prompts == [[3, 3], [2, 2], [1, 1]]


def test_prefixes_outlive_the_slots_they_were_computed_in() -> None:
    backend = SimulatedBackend(n_slots=1, sequences=6, cells=300)
    bench = Bench(backend)
    for turn in ("first", "again"):
        for n in range(5):
            bench.run(request([n + 1, *SYSTEM[:20], n], f"{turn}{n}", max_tokens=2))
    assert [bench.finished(f"again{n}").usage.cached_tokens for n in range(5)] == [21] * 5


@pytest.mark.parametrize("change", ["same", "other answer"])
def test_where_memory_cannot_be_cut_turns_go_on_from_checkpoints(change: str) -> None:
    backend = SimulatedBackend(n_slots=1, sequences=6, can_trim=False)
    bench = Bench(backend)
    bench.run(request(SYSTEM, ignore_eos=True, max_tokens=4))
    said = backend.held()[0][len(SYSTEM) :]
    follows = said if change == "same" else [39, 39, 39]
    bench.run(request([*SYSTEM, *follows, 5, 6], "b", max_tokens=1))
    expected = len(SYSTEM) + len(said) if change == "same" else len(SYSTEM) - 1
    assert bench.finished("b").usage.cached_tokens == expected


class Shelf:
    """A tier that keeps whole prefixes of the simulated backend."""

    def __init__(self, backend: SimulatedBackend) -> None:
        self.backend = backend
        self.kept: dict[tuple[int, ...], bytes] = {}
        self.lost = False

    def match(self, tokens: array[int], limit: int, adapters: Adapters | None) -> int:
        fits = (each for each in self.kept if each == tuple(tokens[:limit][: len(each)]))
        return max(map(len, fits), default=0)

    def keep(self, sequence: int, tokens: array[int], adapters: Adapters | None) -> None:
        self.kept[tuple(tokens)] = self.backend.save(sequence)

    def fetch(
        self, sequence: int, tokens: array[int], start: int, adapters: Adapters | None
    ) -> int:
        if self.lost:
            return start
        self.backend.restore(sequence, self.kept[tuple(tokens)])
        return len(tokens)

    def prepare(self, sequence: int, tokens: array[int], adapters: Adapters | None) -> bool:
        return False

    def hurry(self) -> None: ...
    def close(self) -> None: ...


@pytest.mark.parametrize("lost", [False, True])
def test_what_left_the_cells_comes_back_from_a_tier(lost: bool) -> None:
    backend = SimulatedBackend(n_slots=1)
    shelf = Shelf(backend)
    bench = Bench(backend, tier=shelf)
    bench.run(request(SYSTEM, max_tokens=1), request([9, 8, 7], "b"))
    assert tuple(SYSTEM) in shelf.kept
    shelf.lost = lost
    again = request([*SYSTEM, 1, 2], "c")
    bench.run(again)
    assert bench.finished("c").usage.cached_tokens == (0 if lost else len(SYSTEM))
    assert bench.outcome("c") == alone(again, backend)
    assert bench.generator.evictions == 2


def test_a_closing_engine_hands_its_prefixes_over() -> None:
    backend = SimulatedBackend(n_slots=2)
    shelf = Shelf(backend)
    bench = Bench(backend, tier=shelf)
    bench.run(request([1, 2, 3], max_tokens=1), request([4, 5, 6], "b", max_tokens=1))
    bench.generator.close()
    assert set(shelf.kept) == {(1, 2, 3), (4, 5, 6)}


def test_totals_are_what_happened() -> None:
    backend = SimulatedBackend(n_slots=2)
    bench = Bench(backend)
    bench.run(request(SYSTEM, max_tokens=3, ignore_eos=True))
    bench.run(request([*SYSTEM, 1], "b", max_tokens=1), request([7], "c", max_tokens=1))
    assert bench.generator.totals == Totals(
        finished=3,
        hits=1,
        prompt_tokens=40 + 41 + 1,
        cached_tokens=40,
        computed_tokens=backend.decoded,
        sampled_tokens=5,
    )
    assert backend.decoded == 42 + 1 + 1


def test_a_miss_is_explained_by_its_first_token(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(SimulatedBackend())
    bench.run(request(SYSTEM, max_tokens=1))
    with caplog.at_level(logging.DEBUG, "pyollama.engine"):
        bench.run(request([*SYSTEM[:20], 6, 7, 8], "b", max_tokens=1))
    (line,) = caplog.messages
    assert line == (
        "request b: 20 of 23 tokens cached, from a retired prefix; the best candidate differs "
        "at position 20: token 6 b'a' here, token 21 there"
    )


# --- anything at all ------------------------------------------------------------------------------

prompts = st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=30) | st.builds(
    lambda length, tail: [*SYSTEM[:length], *tail],
    st.integers(1, 40),
    st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=8),
)
requests = st.builds(
    GenerateRequest,
    id=st.just(""),
    tokens=prompts,
    max_tokens=st.integers(-1, 12),
    stop=st.lists(st.text("abé ", min_size=1, max_size=2), max_size=2).map(tuple),
    shift=st.booleans(),
    n_keep=st.integers(-1, 8),
    ignore_eos=st.just(False),
    priority=st.sampled_from(["interactive", "normal", "batch"]),
    key=st.sampled_from(["", "a", "b"]),
)
actions = st.one_of(
    requests,
    st.tuples(st.just("abort"), st.integers(0, 20)),
    st.tuples(st.just("step"), st.integers(1, 6)),
    st.tuples(st.just("fail"), st.integers(0, 3)),
)


backends = st.builds(
    SimulatedBackend,
    n_slots=st.integers(1, 4),
    sequences=st.sampled_from([4, 5, 9]),
    cells=st.sampled_from([48, 90, 130, 1000]),
    rows=st.sampled_from([8, 16, 64]),
    can_trim=st.booleans(),
    can_undo=st.sampled_from([None, True]),
)


@settings(max_examples=120)
@given(st.lists(actions, max_size=25), backends)
def test_any_company_gives_the_answers_of_a_lone_request(
    script: list[GenerateRequest | tuple[str, int]], backend: SimulatedBackend
) -> None:
    bench = Bench(backend)
    added: list[GenerateRequest] = []
    for action in script:
        match action:
            case GenerateRequest():
                added.append(msgspec.structs.replace(action, id=str(len(added))))
                bench.add(added[-1])
            case "abort", number:
                bench.generator.abort(str(number))
            case "fail", after:
                backend.failures = [None] * after + [Aborted("now"), OutOfCells("for a moment")]
            case "step", times:
                for _ in range(times):
                    bench.generator.step()
        assert bench.generator.running <= backend.info.n_slots
    bench.run()

    steps = [action for action in script if isinstance(action, tuple)]
    for wanted in added:
        end = bench.end(wanted.id)
        lost = isinstance(end, Failed) and any(step[0] == "fail" for step in steps)
        aborted = isinstance(end, Finished) and end.reason == "aborted"
        if not aborted and not lost:
            assert bench.outcome(wanted.id) == alone(wanted, backend)
    assert all(sampler.closed for sampler in backend.samplers)
    slots = bench.generator._slots
    assert not any(slot.busy for slot in slots) and slots.idle == backend.info.n_slots
    held = {slot.index: list(slot.tokens) for slot in slots}
    assert held == backend.held(), "the slots say what the cache holds"
    assert bench.generator.cells_used == backend.used
    roomy = backend.limits.cells >= backend.info.n_ctx * backend.info.n_slots
    if roomy and not steps and all(wanted.priority != "batch" for wanted in added):
        assert bench.generator.preemptions == 0


@settings(max_examples=50)
@given(st.lists(prompts, min_size=2, max_size=10), st.integers(1, 3))
def test_requests_are_started_in_the_order_of_arrival(texts: list[list[int]], n_slots: int) -> None:
    backend = SimulatedBackend(n_slots=n_slots)
    Bench(backend).run(*(request(tokens, str(n)) for n, tokens in enumerate(texts)))
    assert backend.prompts == texts
