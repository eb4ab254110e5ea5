from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from pyollama.engine.spec import LoadSpec
from pyollama.errors import (
    EngineClosed,
    InvalidRequest,
    ModelLoadError,
    PyollamaError,
    WorkerDied,
)
from pyollama.types import EmbedRequest, EngineEvent, Finished, GenerateRequest, Tokens
from pyollama.worker.health import WorkerLimits
from pyollama.worker.proxy import WorkerProxy

COMMAND = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
QUICK = WorkerLimits(
    busy_ping=0.05,
    idle_ping=0.2,
    stopped_after=0.2,
    load_timeout=60,
    close_timeout=2,
)
"""Nothing here is so short that a busy machine could exceed it."""


async def start(
    path: str = "fine",
    on_death: Callable[[], None] | None = None,
    limits: WorkerLimits = QUICK,
) -> WorkerProxy:
    return await WorkerProxy.start(
        LoadSpec(path=path), limits=limits, command=COMMAND, on_death=on_death
    )


@pytest.fixture
async def proxy() -> AsyncIterator[WorkerProxy]:
    proxy = await start()
    yield proxy
    await proxy.close()


def request(id: str = "a", max_tokens: int = 5, stop: tuple[str, ...] = ()) -> GenerateRequest:
    return GenerateRequest(id, [1, 2], max_tokens=max_tokens, stop=stop)


async def collect(proxy: WorkerProxy, what: GenerateRequest) -> list[EngineEvent]:
    return [event async for event in proxy.generate(what)]


async def fate(proxy: WorkerProxy, id: str, stop: tuple[str, ...] = ()) -> PyollamaError:
    """The error that ends an endless request."""
    with pytest.raises(PyollamaError) as caught:
        await collect(proxy, request(id, -1, stop))
    return caught.value


async def idle(proxy: WorkerProxy) -> None:
    async with asyncio.timeout(60):
        while (await proxy.stats()).running:
            await asyncio.sleep(0.005)


def children() -> list[psutil.Process]:
    return psutil.Process().children()


async def test_requests_run_side_by_side(proxy: WorkerProxy) -> None:
    answers = await asyncio.gather(*(collect(proxy, request(str(n), n)) for n in range(8)))
    for n, events in enumerate(answers):
        *tokens, last = events
        assert [event.tokens for event in tokens if isinstance(event, Tokens)] == [
            (done,) for done in range(n)
        ]
        assert isinstance(last, Finished)
        assert last.usage.completion_tokens == n


async def test_it_says_what_is_loaded(proxy: WorkerProxy) -> None:
    assert proxy.info.n_ctx == 128
    assert (await proxy.stats()).slots == 4
    embedded = await proxy.embed(EmbedRequest("e", [[1], [2]]))
    assert (len(embedded.vectors), embedded.dimensions) == (8, 1)


async def test_closing_the_iterator_aborts(proxy: WorkerProxy) -> None:
    async with aclosing(proxy.generate(request("a", -1))) as events:
        await anext(events)
        assert (await proxy.stats()).running == 1
    await idle(proxy)


async def test_cancelling_the_reader_aborts(proxy: WorkerProxy) -> None:
    reading = asyncio.create_task(collect(proxy, request("a", -1)))
    await asyncio.sleep(0.05)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await idle(proxy)


async def test_a_refused_request_leaves_the_others_alone(proxy: WorkerProxy) -> None:
    other = asyncio.create_task(collect(proxy, request("a", 10)))
    with pytest.raises(InvalidRequest, match="empty") as caught:
        await collect(proxy, GenerateRequest("b", []))
    assert caught.value.details == {"field": "tokens"}
    assert len(await other) == 11


async def test_an_id_is_used_once_at_a_time(proxy: WorkerProxy) -> None:
    async with aclosing(proxy.generate(request("a", -1))) as events:
        await anext(events)
        with pytest.raises(InvalidRequest, match="running already"):
            await collect(proxy, request("a"))
        assert isinstance(await anext(events), Tokens)


async def test_a_slow_reader_loses_nothing(proxy: WorkerProxy) -> None:
    async with aclosing(proxy.generate(request("a", 300))) as events:
        first = await anext(events)
        await idle(proxy)
        rest = [event async for event in events]
    assert len(rest) < 200, "joined while nobody read"
    text = "".join(event.text for event in [first, *rest] if isinstance(event, Tokens))
    assert text == "".join(f"{n} " for n in range(300))


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGSTOP"])
async def test_a_worker_that_goes_away_fails_its_requests(name: str) -> None:
    died: list[bool] = []
    proxy = await start(on_death=lambda: died.append(True))
    fates = [asyncio.create_task(fate(proxy, str(n))) for n in range(4)]
    await asyncio.sleep(0.1)
    (child,) = children()
    child.send_signal(getattr(signal, name))
    errors = await asyncio.gather(*fates)
    assert {type(error) for error in errors} == {WorkerDied}
    assert ("is stopped" if name == "SIGSTOP" else name) in errors[0].message
    assert died == [True]
    with pytest.raises(WorkerDied):
        await collect(proxy, request())
    assert not children(), "the process was waited for"
    await proxy.close()


async def test_closing_a_dying_worker_hides_nothing() -> None:
    closing: list[asyncio.Task[None]] = []
    worker = await start(on_death=lambda: closing.append(asyncio.create_task(worker.close())))
    running = asyncio.create_task(fate(worker, "a"))
    await asyncio.sleep(0.05)
    children()[0].kill()
    assert isinstance(await running, WorkerDied)
    await asyncio.gather(*closing)
    assert not children()


async def test_the_last_lines_say_what_went_wrong() -> None:
    proxy = await start()
    error = await fate(proxy, "a", stop=("raise",))
    assert isinstance(error, WorkerDied)
    assert f"exited with status {os.EX_SOFTWARE}" in error.message
    assert "ZeroDivisionError: a bug" in error.message


async def test_an_engine_that_makes_no_step_is_ended() -> None:
    limits = WorkerLimits(busy_ping=0.05, stuck_after=0.5)
    proxy = await start(limits=limits)
    error = await fate(proxy, "a", stop=("stuck",))
    assert isinstance(error, WorkerDied)
    assert "computed one step" in error.message


async def test_a_worker_that_stops_while_idle_is_noticed() -> None:
    died = asyncio.Event()
    proxy = await start(on_death=died.set)
    (child,) = children()
    child.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(60):
        await died.wait()
    await proxy.close()
    assert not children()


async def test_close_ends_running_requests() -> None:
    died: list[bool] = []
    proxy = await start(on_death=lambda: died.append(True))
    running = asyncio.create_task(fate(proxy, "a"))
    await asyncio.sleep(0.05)
    await proxy.close()
    assert isinstance(await running, EngineClosed)
    with pytest.raises(EngineClosed):
        await proxy.stats()
    await proxy.close()
    assert not died, "it was asked to end"
    assert not children()


async def test_a_stopped_worker_does_not_hold_up_close() -> None:
    proxy = await WorkerProxy.start(
        LoadSpec(path="fine"), limits=WorkerLimits(close_timeout=0.3), command=COMMAND
    )
    (child,) = children()
    child.send_signal(signal.SIGSTOP)
    await proxy.close()
    assert not children()


@pytest.mark.parametrize(
    ("path", "message"),
    [("broken", "not a model"), ("crash", "a bug while loading")],
)
async def test_a_load_that_fails_leaves_no_process(path: str, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        await start(path)
    assert not children()


async def test_a_load_without_progress_is_given_up() -> None:
    with pytest.raises(ModelLoadError, match="no progress"):
        await start("silent", limits=WorkerLimits(load_timeout=0.5))
    assert not children()


async def test_a_worker_that_stops_while_it_loads_is_noticed() -> None:
    limits = WorkerLimits(busy_ping=0.05, stopped_after=0.2)
    spec = LoadSpec(path="silent")
    loading = asyncio.create_task(WorkerProxy.start(spec, limits=limits, command=COMMAND))
    while not children():
        await asyncio.sleep(0.01)
    children()[0].suspend()
    with pytest.raises(ModelLoadError, match="is stopped"):
        await asyncio.wait_for(loading, 60)
    assert not children()


async def test_the_progress_of_a_load_is_passed_on() -> None:
    seen: list[float] = []
    proxy = await WorkerProxy.start(LoadSpec(path="slow"), command=COMMAND, on_progress=seen.append)
    await proxy.close()
    assert seen == sorted(set(seen)), "rising"
    assert len(seen) >= 4


async def test_cancelling_a_load_ends_the_process() -> None:
    loading = asyncio.create_task(start("silent"))
    while not children():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert not children()


async def test_a_command_that_cannot_run_is_a_load_error() -> None:
    with pytest.raises(ModelLoadError, match="/nowhere/python"):
        await WorkerProxy.start(LoadSpec(path="fine"), command=("/nowhere/python",))


async def test_native_log_lines_reach_logging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="pyollama.native"):
        proxy = await start()
        await proxy.close()
    native = [entry for entry in caplog.records if entry.name == "pyollama.native"]
    assert [(entry.levelname, entry.message.split("] ")[1]) for entry in native] == [
        ("WARNING", "loud")
    ]


async def test_an_idle_worker_costs_nothing(proxy: WorkerProxy) -> None:
    (child,) = children()
    before = child.cpu_times()
    await asyncio.sleep(0.5)
    after = child.cpu_times()
    spent = after.user + after.system - before.user - before.system
    assert spent < 0.12, "the fake engine ticks, the transport does not"


PARENT = """
import asyncio, sys
from pyollama.engine.spec import LoadSpec
from pyollama.worker.proxy import WorkerProxy
async def main():
    proxy = await WorkerProxy.start(LoadSpec(path="fine"), command=sys.argv[1:])
    print(proxy._process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_the_worker_dies_with_its_server() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *COMMAND], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    worker.wait(timeout=60)


def test_the_worker_imports_no_server_and_no_store() -> None:
    code = "import sys, pyollama.worker.main; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    unwanted = ("fastapi", "starlette", "uvicorn", "pydantic", "httpx", "asyncio")
    ours = ("pyollama.store", "pyollama.server", "pyollama.service", "pyollama.runtime")
    assert not [name for name in modules if name.startswith((*unwanted, *ours))]


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", b"\x81\xa4type\xa5ab\x8frt", b"\x82\xa4type\xa3log\xa1x" + b"\x91" * 5000],
    ids=["empty", "no message", "no text", "deep"],
)
async def test_what_cannot_be_read_ends_the_worker(body: bytes) -> None:
    frame = len(body).to_bytes(4, "little") + body
    with pytest.raises(PyollamaError, match="sent what cannot be read"):
        await start(f"sends {frame.hex()}")
