"""The generator with tiers on a simulated backend: prefixes come back, answers stay the same."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.engine.simulated import SimulatedBackend, SimulatedSampler

from pyollama.engine.generator import Generator
from pyollama.engine.job import Job
from pyollama.engine.prefix import token_array
from pyollama.engine.spec import LoadSpec
from pyollama.engine.tiers.host import HostTier
from pyollama.engine.tiers.keeper import Keeper, keeper_for
from pyollama.engine.tiers.tiers import Tiers
from pyollama.errors import NativeError
from pyollama.types import Adapters, EngineEvent, Finished, GenerateRequest, Tokens, Usage

PROMPT = [1 + n % 30 for n in range(40)]
OTHER = [31 - n % 30 for n in range(40)]


class Bench:
    def __init__(self, backend: SimulatedBackend, keeper: Keeper | None) -> None:
        self.backend = backend
        self.events: list[EngineEvent] = []
        self.generator: Generator[SimulatedSampler] = Generator(backend, self.events.append, keeper)

    def ask(self, *prompts: list[int], adapters: Adapters | None = None) -> list[tuple[str, Usage]]:
        """Answers of requests that arrive together."""
        self.events.clear()
        for number, prompt in enumerate(prompts):
            request = GenerateRequest(str(number), prompt, max_tokens=5, adapters=adapters)
            self.generator.add(Job(request, self.backend.info.n_ctx, submitted=0))
        while self.generator.busy:
            self.generator.step()
        return [self._answer(str(number)) for number in range(len(prompts))]

    def _answer(self, request_id: str) -> tuple[str, Usage]:
        *parts, end = [event for event in self.events if event.id == request_id]
        assert isinstance(end, Finished)
        return "".join(part.text for part in parts if isinstance(part, Tokens)), end.usage


def backend(*, can_trim: bool = True, cells: int = 64) -> SimulatedBackend:
    return SimulatedBackend(n_slots=2, cells=cells, can_trim=can_trim)


def bench(backend: SimulatedBackend, budget: int = 1 << 20) -> Bench:
    tiers = Tiers(b"one", HostTier(budget), None, size=backend.limits.part)
    return Bench(backend, Keeper(backend, tiers))


def spec(model: Path, **fields: object) -> LoadSpec:
    model.write_bytes(b"weights")
    return LoadSpec(path=str(model), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("can_trim", [True, False])
def test_what_was_evicted_comes_back(can_trim: bool) -> None:
    ours = bench(backend(can_trim=can_trim))
    ((first, _),) = ours.ask(PROMPT)
    ours.ask(OTHER)
    computed = ours.backend.decoded
    ((again, usage),) = ours.ask(PROMPT)
    assert (again, usage.cached_tokens) == (first, len(PROMPT) - 1)
    assert ours.backend.decoded - computed == 5


def test_what_adapters_computed_comes_back_to_the_same_adapters(tmp_path: Path) -> None:
    file, same, other = (tmp_path / name for name in ("file", "sha256-" + "a" * 64, "other"))
    for path, content in ((file, b"x"), (same, b"x"), (other, b"y")):
        path.write_bytes(content)
    ours = bench(backend(cells=96))
    choices: list[Adapters | None] = [
        None,
        (),
        *(((str(path), 1.0),) for path in (file, same, other)),
        ((str(file), 0.5),),
        (("by name", 1.0),),
    ]
    first = [ours.ask(PROMPT, adapters=choice)[0] for choice in choices]
    again = [ours.ask(PROMPT, adapters=choice)[0] for choice in choices]
    assert [usage.cached_tokens for _, usage in first] == [0] * len(choices)
    assert [usage.cached_tokens for _, usage in again] == [len(PROMPT) - 1] * len(choices)
    assert [answer for answer, _ in first] == [answer for answer, _ in again]


def test_what_cannot_be_restored_is_computed_and_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours = bench(backend())
    ((first, _),) = ours.ask(PROMPT)
    ours.ask(OTHER)

    def fail(*args: object) -> None:
        raise NativeError("the state does not fit this context")

    monkeypatch.setattr(ours.backend, "restore_part", fail)
    ((again, usage),) = ours.ask(PROMPT)
    assert (again, usage.cached_tokens) == (first, 0)
    assert len(caplog.records) == 1
    monkeypatch.undo()
    ours.ask(OTHER)
    ((again, usage),) = ours.ask(PROMPT)
    assert (again, usage.cached_tokens) == (first, len(PROMPT) - 1)


def test_what_cannot_be_saved_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = bench(backend())

    def fail(*args: object) -> bytes:
        raise NativeError("the window has moved on")

    monkeypatch.setattr(ours.backend, "save_part", fail)
    ((first, _),) = ours.ask(PROMPT)
    ours.ask(OTHER)
    ((again, usage),) = ours.ask(PROMPT)
    assert (again, usage.cached_tokens) == (first, 0)


def test_a_part_that_only_lacks_room_for_its_rest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = backend()
    tiers = Tiers(b"one", HostTier(1 << 20), None, size=40)
    keeper = Keeper(simulated, tiers)
    tiers.offer(token_array(PROMPT), lambda start, stop: b"x" * (stop - start))

    def fail(*args: object) -> None:
        raise NativeError("no cells")

    monkeypatch.setattr(simulated, "restore_part", fail)
    branch = token_array([*PROMPT[:30], 9])
    assert keeper.fetch(0, branch, 0, None) == 0
    assert keeper.match(token_array(PROMPT), 40, None) == 40
    assert keeper.fetch(0, token_array(PROMPT), 0, None) == 0
    assert keeper.match(token_array(PROMPT), 40, None) == 0


def test_at_the_end_nothing_is_saved_that_cannot_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = bench(backend())
    ours.ask(PROMPT)

    def save(*args: object) -> bytes:
        raise AssertionError("in vain")

    monkeypatch.setattr(ours.backend, "save_part", save)
    ours.generator.close()


def test_what_makes_room_does_not_drive_out_what_comes_back() -> None:
    """There is memory for one prefix and a little more, and the cells hold two."""
    ours = bench(backend(cells=96), budget=44 * 17 + 11 * 8 + 30 * 17)
    third = [n + 1 for n in OTHER]
    for prompt in (PROMPT, OTHER, third):
        ours.ask(prompt)
    ((_, usage),) = ours.ask(PROMPT)
    assert usage.cached_tokens == len(PROMPT) - 1


Prompts = st.lists(
    st.builds(
        lambda base, cut, end: [*base[:cut], *end],
        st.sampled_from([PROMPT, OTHER]),
        st.integers(1, 40),
        st.lists(st.integers(1, 30), max_size=3),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=50)
@given(
    rounds=st.lists(Prompts, min_size=1, max_size=4),
    budget=st.sampled_from([0, 600, 5000]),
    can_trim=st.booleans(),
)
def test_any_company_gets_the_answers_of_lone_requests(
    rounds: list[list[list[int]]], budget: int, can_trim: bool
) -> None:
    ours = bench(backend(can_trim=can_trim, cells=100), budget)
    for prompts in rounds:
        for prompt, (answer, _) in zip(prompts, ours.ask(*prompts), strict=True):
            ((alone, _),) = Bench(backend(can_trim=can_trim), None).ask(prompt)
            assert answer == alone


def test_what_is_left_at_the_end_is_there_after_a_restart(tmp_path: Path) -> None:
    wanted = spec(tmp_path / "model", prefix_disk=1 << 20, prefix_dir=str(tmp_path / "prefixes"))
    answers = []
    for cached in (0, len(PROMPT) - 1):
        simulated = backend()
        ours = Bench(simulated, keeper_for(wanted, simulated))
        ((answer, usage),) = ours.ask(PROMPT)
        ours.generator.close()
        assert usage.cached_tokens == cached
        answers.append(answer)
    assert answers[0] == answers[1]


def test_what_is_retired_is_written_while_there_is_nothing_to_do(tmp_path: Path) -> None:
    wanted = spec(tmp_path / "model", prefix_disk=1 << 20, prefix_dir=str(tmp_path / "prefixes"))
    simulated = backend()
    keeper = keeper_for(wanted, simulated)
    assert keeper is not None
    ours = Bench(simulated, keeper)
    assert not ours.generator.tidy()
    ((first, _),) = ours.ask(PROMPT)
    steps = 0
    while ours.generator.tidy():
        steps += 1
    assert steps == 11  # 44 tokens, 4 at a time
    assert not ours.generator.tidy()
    keeper.close()  # but the engine is not: it was killed
    simulated = backend()
    ours = Bench(simulated, keeper_for(wanted, simulated))
    ((again, usage),) = ours.ask(PROMPT)
    assert (again, usage.cached_tokens) == (first, len(PROMPT) - 1)
    ours.generator.close()


def test_tiers_are_only_there_where_they_are_of_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "model"
    disk = {"prefix_disk": 1000, "prefix_dir": str(path / "no folder")}
    assert keeper_for(spec(path), backend()) is None
    assert keeper_for(spec(path, prefix_ram=1000), SimulatedBackend(embeddings=True)) is None
    assert keeper_for(LoadSpec(path=str(tmp_path / "gone"), prefix_ram=1000), backend()) is None
    assert keeper_for(spec(path, **disk), backend()) is None
    keeper = keeper_for(spec(path, prefix_ram=1000, **disk), backend())
    assert keeper is not None
    assert keeper.match(array("i", PROMPT), 40, None) == 0
    keeper.close()
    assert caplog.text.count("cannot be kept") == 2
