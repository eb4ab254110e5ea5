"""Requests with adapters of their own: nothing is shared across them, and nobody waits for ever."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.engine.simulated import SimulatedBackend, SimulatedSampler

from pyollama.engine.adapters import MOST, LoraAdapters
from pyollama.engine.embedder import Embedder
from pyollama.engine.engine import EngineCore
from pyollama.engine.generator import Generator
from pyollama.engine.job import Job
from pyollama.engine.turns import STEPS, Turns
from pyollama.errors import InvalidRequest, ModelLoadError
from pyollama.types import (
    Adapters,
    Embedded,
    EmbedRequest,
    EngineEvent,
    Failed,
    Finished,
    GenerateRequest,
    Tokens,
)

SYSTEM = [1 + n % 30 for n in range(40)]
RED: Adapters = (("red", 1.0),)
PALE_RED: Adapters = (("red", 0.5),)
BOTH: Adapters = (("red", 1.0), ("blue", 1.0))
SETS = st.sampled_from([None, (), RED, PALE_RED, BOTH])


@dataclass
class Bench:
    backend: SimulatedBackend = field(default_factory=SimulatedBackend)

    def __post_init__(self) -> None:
        self.events: list[EngineEvent] = []
        self.generator: Generator[SimulatedSampler] = Generator(self.backend, self.events.append)

    def run(self, *requests: GenerateRequest) -> dict[str, Finished | Failed]:
        for request in requests:
            self.generator.add(Job(request, self.backend.info.n_ctx, submitted=0))
        for _ in range(10_000):
            if not self.generator.busy:
                break
            self.generator.step()
        assert not self.generator.busy
        return {event.id: event for event in self.events if isinstance(event, Finished | Failed)}

    def text(self, name: str) -> str:
        return "".join(e.text for e in self.events if isinstance(e, Tokens) and e.id == name)


def ask(name: str, tokens: list[int], adapters: Adapters | None, n: int = 8) -> GenerateRequest:
    return GenerateRequest(name, tokens, max_tokens=n, adapters=adapters)


def alone(tokens: list[int], adapters: Adapters | None, n: int = 8) -> str:
    bench = Bench()
    bench.run(ask("a", tokens, adapters, n))
    return bench.text("a")


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.lists(st.integers(1, 9), min_size=1, max_size=6), SETS),
        max_size=8,
    ),
    st.booleans(),
)
def test_answers_are_those_of_a_lone_request(
    wanted: list[tuple[int, list[int], Adapters | None]], can_trim: bool
) -> None:
    bench = Bench(SimulatedBackend(can_trim=can_trim))
    prompts = [(SYSTEM[:n] + own, adapters) for n, own, adapters in wanted]
    bench.run(*(ask(str(n), *prompt) for n, prompt in enumerate(prompts)))
    for n, (tokens, adapters) in enumerate(prompts):
        assert bench.text(str(n)) == alone(tokens, adapters)


def test_a_prefix_is_shared_within_one_set_only() -> None:
    ends = Bench().run(
        ask("plain", [*SYSTEM, 1], None),
        ask("red", [*SYSTEM, 2], RED),
        ask("red again", [*SYSTEM, 3], RED),
        ask("pale", [*SYSTEM, 4], PALE_RED),
        ask("plain again", [*SYSTEM, 5], None),
        ask("none", [*SYSTEM, 6], ()),
    )
    cached = {name: end.usage.cached_tokens for name, end in ends.items()}  # type: ignore[union-attr]
    again = {name for name, count in cached.items() if count}
    assert again == {"red again", "plain again"}
    assert cached["red again"] == cached["plain again"] == len(SYSTEM)


def test_sets_take_turns_of_a_few_steps() -> None:
    bench = Bench(SimulatedBackend(n_slots=4))
    bench.backend.script = [6] * 40
    order = []
    for name, adapters in (("a", None), ("b", RED), ("c", BOTH), ("d", RED)):
        request = ask(name, [5, 6], adapters, 40)
        bench.generator.add(Job(request, bench.backend.info.n_ctx, submitted=0))
    while bench.generator.busy:
        bench.generator.step()
        order.append(bench.backend.adapters)
    runs = [(kind, len(list(same))) for kind, same in groupby(order)]
    assert [kind for kind, _ in runs[:6]] == [None, RED, BOTH] * 2
    assert all(length <= STEPS for _, length in runs[:-3])
    assert bench.backend.changes <= len(order) / STEPS + 3
    ends = [event.id for event in bench.events if isinstance(event, Finished)]
    assert sorted(ends) == ["a", "b", "c", "d"]


def test_new_sets_do_not_overtake_those_that_wait() -> None:
    turns = Turns()
    waited = 0
    for step in range(20 * STEPS):
        fresh = ((f"new {step // STEPS}", 1.0),)
        turns.choose([None, RED, fresh])
        waited = 0 if turns.turn == RED else waited + 1
        assert waited <= 3 * STEPS


def test_an_adapter_that_is_not_there_ends_only_its_request() -> None:
    ends = Bench().run(ask("bad", SYSTEM, (("missing", 1.0),)), ask("good", SYSTEM, RED))
    assert isinstance(ends["bad"], Failed)
    assert ends["bad"].error.code == "invalid_request"
    assert isinstance(ends["good"], Finished)


def test_texts_share_a_batch_within_one_set_only() -> None:
    backend = SimulatedBackend(embeddings=True)
    events: list[EngineEvent] = []
    embedder = Embedder(backend, events.append)
    for name, adapters in (("a", None), ("b", RED), ("c", None), ("d", RED)):
        embedder.add(EmbedRequest(name, [[1] * 4, [2] * 3], adapters), submitted=0)
    embedder.add(EmbedRequest("bad", [[1]], (("missing", 1.0),)), submitted=0)
    while embedder.busy:
        embedder.step()
    assert sorted(map(sorted, backend.packs)) == [[3, 3, 4, 4], [3, 3, 4, 4]]
    assert {event.id for event in events if isinstance(event, Embedded)} == {"a", "b", "c", "d"}
    assert {event.id for event in events if isinstance(event, Failed)} == {"bad"}


def test_a_state_is_that_of_the_model_as_it_was_loaded() -> None:
    core = EngineCore(SimulatedBackend(), lambda events: None)
    try:
        with pytest.raises(InvalidRequest, match="adapters"):
            core.save_state(ask("a", SYSTEM, RED, 0))
        assert core.save_state(ask("b", SYSTEM, None, 0)).result(timeout=60)
    finally:
        core.close()


# --- loading them ---------------------------------------------------------------------------------


@dataclass
class FakeFile:
    path: str
    closed: bool = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class Model:
    """Takes note of what it is told to use."""

    def __init__(self, *defaults: str) -> None:
        self.files: list[FakeFile] = []
        self.used: list[tuple[str, float]] = []
        self.adapters = LoraAdapters(self.load, self.apply, defaults)

    def load(self, path: str) -> FakeFile:
        if path == "missing":
            raise ModelLoadError("missing: no such file")
        self.files.append(FakeFile(path))
        return self.files[-1]

    def apply(self, adapters: list[tuple[FakeFile, float]]) -> None:
        assert not any(file.closed for file, _ in adapters)
        self.used = [(file.path, scale) for file, scale in adapters]

    @property
    def open(self) -> list[str]:
        return [file.path for file in self.files if not file.closed]


def test_defaults_apply_until_a_request_says_otherwise() -> None:
    model = Model("/some/red.gguf")
    assert model.used == [("/some/red.gguf", 1.0)]
    model.adapters.use((("red", 0.5), ("/other/blue.gguf", 2.0)))
    assert model.used == [("/some/red.gguf", 0.5), ("/other/blue.gguf", 2.0)]
    model.adapters.use(())
    assert model.used == []
    model.adapters.use(None)
    assert model.used == [("/some/red.gguf", 1.0)]
    assert len(model.files) == 2  # each is loaded once


def test_what_was_applied_longest_ago_is_freed() -> None:
    model = Model()
    for n in range(MOST + 3):
        model.adapters.use(((str(n), 1.0),))
    assert model.open == [str(n) for n in range(3, MOST + 3)]
    model.adapters.use((("0", 1.0),))
    assert model.used == [("0", 1.0)]
    model.adapters.close()
    assert model.open == []


@pytest.mark.parametrize("adapters", [(("missing", 1.0),), (("red", float("nan")),)])
def test_what_cannot_be_used(adapters: Adapters) -> None:
    with pytest.raises(InvalidRequest, match=r"adapters: (missing|red): "):
        Model("red.gguf").adapters.check(adapters)
