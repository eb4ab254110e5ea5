"""The engine thread and its asynchronous face, on a simulated backend."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from tests.unit.engine.simulated import SimulatedBackend

from pyollama.engine.backend import Batch
from pyollama.engine.engine import Engine, EngineCore
from pyollama.errors import (
    Aborted,
    Busy,
    ContextLengthExceeded,
    EngineClosed,
    EngineError,
    InvalidRequest,
    NativeError,
)
from pyollama.types import EmbedRequest, EngineEvent, Failed, Finished, GenerateRequest, Tokens

PATIENCE = 20.0


class GatedBackend(SimulatedBackend):
    """Decodes only when it is let to; ``begun`` counts the decodes that were begun."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def decode(self, batch: Batch) -> None:
        self.begun.release()
        assert self.gate.acquire(timeout=PATIENCE)
        if self.aborted:
            self.aborted = False
            raise Aborted("in the middle")
        super().decode(batch)

    def abort(self) -> None:
        super().abort()
        self.gate.release()


def request(request_id: str, tokens: list[int] | None = None, n: int = 8) -> GenerateRequest:
    return GenerateRequest(request_id, tokens or [1, 2, 3], max_tokens=n, ignore_eos=True)


@asynccontextmanager
async def running(backend: SimulatedBackend) -> AsyncIterator[Engine]:
    engine = Engine(backend)
    try:
        yield engine
    finally:
        await engine.close()
        assert backend.closed


async def collect(engine: Engine, wanted: GenerateRequest) -> tuple[str, Finished]:
    events = [event async for event in engine.generate(wanted)]
    *_, end = events
    assert isinstance(end, Finished)
    return "".join(event.text for event in events if isinstance(event, Tokens)), end


async def until_begun(backend: GatedBackend) -> None:
    assert await asyncio.to_thread(backend.begun.acquire, timeout=PATIENCE)


async def test_a_hundred_tasks_at_once() -> None:
    async with running(SimulatedBackend(n_slots=4)) as engine:
        answers = await asyncio.gather(
            *(collect(engine, request(str(n), [1 + n % 5, 2])) for n in range(100))
        )
        assert len({text for text, _ in answers}) == 5
        assert {end.usage.completion_tokens for _, end in answers} == {8}
        stats = await engine.stats()
        assert (stats.running, stats.waiting, stats.slots) == (0, 0, 4)


async def test_an_event_loop_is_woken_once_per_step() -> None:
    async with running(SimulatedBackend(n_slots=8)) as engine:
        loop, wakeups = asyncio.get_running_loop(), 0
        original = loop.call_soon_threadsafe

        def counting(*args: object, **kwargs: object) -> object:
            nonlocal wakeups
            wakeups += 1
            return original(*args, **kwargs)  # type: ignore[arg-type]

        loop.call_soon_threadsafe = counting  # type: ignore[method-assign, assignment]
        await asyncio.gather(*(collect(engine, request(str(n), n=20)) for n in range(8)))
        assert wakeups <= (await engine.stats()).steps


async def test_a_failure_is_raised() -> None:
    async with running(SimulatedBackend()) as engine:
        with pytest.raises(ContextLengthExceeded) as raised:
            await collect(engine, request("a", [1] * 64))
        assert raised.value.details == {"prompt_tokens": 64, "context_length": 64}


async def test_embed() -> None:
    async with running(SimulatedBackend(embeddings=True)) as engine:
        embedded = await engine.embed(EmbedRequest("a", [[1, 2], [3]]))
        assert (embedded.dimensions, len(embedded.vectors)) == (4, 2 * 4 * 4)
        with pytest.raises(InvalidRequest):
            await engine.embed(EmbedRequest("b", [[]]))


async def test_leaving_a_stream_aborts_it() -> None:
    backend = GatedBackend()
    async with running(backend) as engine:
        backend.gate.release()
        async with aclosing(engine.generate(request("a"))) as events:
            await anext(events)
            await until_begun(backend)
            await until_begun(backend)
        backend.gate.release()
        while (await engine.stats()).running:
            await asyncio.sleep(0.001)
        assert all(sampler.closed for sampler in backend.samplers)


async def test_giving_up_the_only_request_interrupts_its_decode() -> None:
    backend = GatedBackend()
    async with running(backend) as engine:
        task = asyncio.create_task(collect(engine, request("a")))
        await until_begun(backend)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while (await engine.stats()).running:
            await asyncio.sleep(0.001)
        assert backend.decoded == 0


async def test_closing_ends_everything_with_a_typed_error() -> None:
    backend = GatedBackend()
    engine = Engine(backend)
    tasks = [asyncio.create_task(collect(engine, request(str(n)))) for n in range(5)]
    await until_begun(backend)
    await asyncio.gather(engine.close(), engine.close())
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, EngineClosed)
    with pytest.raises(EngineClosed):
        await collect(engine, request("late"))


async def test_an_unexpected_failure_ends_those_in_it_and_the_engine_goes_on() -> None:
    backend = SimulatedBackend()
    backend.failures = [ZeroDivisionError("surprise")]
    async with running(backend) as engine:
        with pytest.raises(EngineError, match="surprise"):
            await collect(engine, request("a"))
        _, end = await collect(engine, request("b"))
        assert end.usage.cached_tokens == 0


async def test_an_id_in_use_is_refused() -> None:
    backend = GatedBackend()
    async with running(backend) as engine:
        task = asyncio.create_task(collect(engine, request("a")))
        await until_begun(backend)
        with pytest.raises(InvalidRequest):
            await collect(engine, request("a"))
        task.cancel()


async def test_an_idle_engine_sleeps() -> None:
    async with running(SimulatedBackend()) as engine:
        await collect(engine, request("a"))
        before = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - before < 0.1


async def test_a_saved_state_is_a_prefix_again() -> None:
    prompt = [1, 2, 3, 4, 5]
    async with running(SimulatedBackend()) as engine:
        state = await engine.save_state(request("save", prompt, n=0))
        expected, _ = await collect(engine, request("a", [*prompt, 6]))
    async with running(SimulatedBackend()) as engine:
        await engine.restore_state(prompt, state)
        text, end = await collect(engine, request("a", [*prompt, 6]))
        assert (text, end.usage.cached_tokens) == (expected, len(prompt))


async def test_a_state_that_is_none_leaves_nothing_behind() -> None:
    async with running(SimulatedBackend()) as engine:
        with pytest.raises(NativeError):
            await engine.restore_state([1, 2, 3], b"nonsense")
        _, end = await collect(engine, request("a", [1, 2, 3]))
        assert end.usage.cached_tokens == 0


async def test_a_state_needs_an_idle_slot() -> None:
    backend = GatedBackend()
    async with running(backend) as engine:
        tasks = [asyncio.create_task(collect(engine, request(str(n)))) for n in range(3)]
        await until_begun(backend)
        restored = asyncio.create_task(engine.restore_state([1], b""))
        await asyncio.sleep(0)
        backend.gate.release()
        with pytest.raises(Busy):
            await restored
        for task in tasks:
            task.cancel()


async def test_saving_what_does_not_fit_fails() -> None:
    async with running(SimulatedBackend()) as engine:
        with pytest.raises(ContextLengthExceeded):
            await engine.save_state(request("save", [1] * 64, n=0))


def test_every_request_to_a_core_ends_once_also_when_it_closes() -> None:
    ends: list[str] = []

    def sink(events: list[EngineEvent]) -> None:
        ends.extend(event.id for event in events if isinstance(event, Finished | Failed))

    core = EngineCore(SimulatedBackend(n_slots=2), sink)
    submitted: list[str] = []

    def submit_until_closed(prefix: str) -> None:
        for number in itertools.count():
            try:
                core.submit(request(f"{prefix}{number}", n=2))
            except EngineClosed:
                return
            submitted.append(f"{prefix}{number}")
            time.sleep(0.0005)

    threads = [threading.Thread(target=submit_until_closed, args=(f"{n}-",)) for n in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    core.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert submitted
    assert sorted(ends) == sorted(submitted)
