"""Real workers that are killed, stopped, crashed and orphaned."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import uvloop
from tests.native import tiny
from tests.unit.runtime.fakes import stored

from pyollama.errors import PyollamaError, UnsupportedCapability, WorkerDied
from pyollama.runtime.fit import Policy
from pyollama.runtime.loader import ModelLoader
from pyollama.runtime.pool import ModelPool
from pyollama.store.gguf import read_gguf
from pyollama.store.model import StoredModel
from pyollama.types import EmbedRequest, Finished, GenerateRequest, LoadOptions, SamplingParams
from pyollama.worker.health import WorkerLimits

OPTIONS = LoadOptions(num_ctx=256, num_thread=1)
PROMPT = list(range(40, 60))
PATIENCE = 60.0
"""Seconds after which even the slowest machine is hanging."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models")
    for name in ("one", "two"):
        tiny.llama_like(path / f"{name}.gguf")
    tiny.bert_like(path / "embed.gguf")
    (path / "broken.gguf").write_bytes((path / "one.gguf").read_bytes()[:100_000])
    return path


def model(folder: Path, name: str) -> StoredModel:
    path = folder / f"{name}.gguf"
    bare = stored(name, str(path))
    return bare if name == "broken" else replace(bare, metadata=read_gguf(path).metadata)


@asynccontextmanager
async def open_pool() -> AsyncIterator[ModelPool]:
    pool = ModelPool(ModelLoader(Policy(num_parallel=4), WorkerLimits()))
    try:
        yield pool
    finally:
        await pool.close()
    assert not children(), "no orphan and no zombie"


@pytest.fixture
async def pool() -> AsyncIterator[ModelPool]:
    async with open_pool() as pool:
        yield pool


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def endless(name: str) -> GenerateRequest:
    sampling = SamplingParams(seed=1)
    return GenerateRequest(name, PROMPT, sampling, shift=True, ignore_eos=True)


class Stream:
    """A request without an end, and what became of it."""

    def __init__(self, pool: ModelPool, model: StoredModel, name: str) -> None:
        self.events = 0
        self.error: PyollamaError | None = None
        self.running = asyncio.Event()
        self.task = asyncio.create_task(self._read(pool, model, name))

    async def _read(self, pool: ModelPool, model: StoredModel, name: str) -> None:
        try:
            async with (
                pool.lease(model, OPTIONS) as loaded,
                aclosing(loaded.engine.generate(endless(name))) as events,
            ):
                async for _ in events:
                    self.events += 1
                    self.running.set()
        except PyollamaError as error:
            self.error = error


async def answer(pool: ModelPool, model: StoredModel) -> Finished:
    async with pool.lease(model, OPTIONS) as loaded:
        request = GenerateRequest("next", PROMPT, max_tokens=8, ignore_eos=True)
        *_, last = [event async for event in loaded.engine.generate(request)]
    assert isinstance(last, Finished)
    return last


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP", "SIGSEGV"])
@pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def test_a_fault_ends_its_own_requests_and_no_others(
    folder: Path, name: str, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    async def main() -> None:
        async with open_pool() as pool:
            await fault(pool, folder, name)

    run(main())


async def fault(pool: ModelPool, folder: Path, name: str) -> None:
    one, two = model(folder, "one"), model(folder, "two")
    streams = [Stream(pool, one, str(n)) for n in range(4)]
    await asyncio.gather(*(stream.running.wait() for stream in streams))
    (worker,) = children()
    other = Stream(pool, two, "other")
    await other.running.wait()

    worker.send_signal(getattr(signal, name))
    await asyncio.wait_for(asyncio.gather(*(stream.task for stream in streams)), PATIENCE)
    for stream in streams:
        assert isinstance(stream.error, WorkerDied)
        assert ("is stopped" if name == "SIGSTOP" else name) in stream.error.message
        if name == "SIGSEGV":
            assert "Segmentation fault" in stream.error.message, "its last lines"

    assert (await answer(pool, one)).usage.completion_tokens == 8
    before = other.events
    async with asyncio.timeout(PATIENCE):
        while other.events == before:
            await asyncio.sleep(0.01)
    assert other.error is None
    other.task.cancel()
    await asyncio.gather(other.task, return_exceptions=True)
    assert len(children()) == 2
    assert (await answer(pool, two)).usage.completion_tokens == 8


async def test_clients_that_leave_free_their_slots(pool: ModelPool, folder: Path) -> None:
    one = model(folder, "one")
    streams = [Stream(pool, one, str(n)) for n in range(8)]
    await asyncio.gather(*(stream.running.wait() for stream in streams[:4]))
    for stream in streams:
        stream.task.cancel()
    await asyncio.gather(*(stream.task for stream in streams), return_exceptions=True)
    async with pool.lease(one, OPTIONS) as loaded, asyncio.timeout(PATIENCE):
        while (stats := await loaded.engine.stats()).running or stats.waiting:
            await asyncio.sleep(0.01)


async def test_cycles_leave_nothing_behind(pool: ModelPool, folder: Path) -> None:
    one = model(folder, "one")
    us = psutil.Process()
    await answer(pool, one)
    pool.expire(one)
    descriptors: list[int] = []
    for _ in range(40):
        async with pool.lease(one, OPTIONS, 0):
            descriptors.append(us.num_fds())
    assert max(descriptors[20:]) <= max(descriptors[:5])
    assert us.num_threads() < 30


async def test_a_model_that_cannot_be_loaded_says_why(pool: ModelPool, folder: Path) -> None:
    with pytest.raises(PyollamaError, match=r"broken\.gguf"):
        await answer(pool, model(folder, "broken"))
    assert not children()
    await answer(pool, model(folder, "one"))


async def test_embeddings_come_out_of_a_worker(pool: ModelPool, folder: Path) -> None:
    async with pool.lease(model(folder, "embed"), OPTIONS) as loaded:
        assert loaded.engine.info.embeddings
        embedded = await loaded.engine.embed(EmbedRequest("e", [[2, 5, 6, 3], [2, 7, 3]]))
        assert len(embedded.vectors) == 2 * 4 * embedded.dimensions
    async with pool.lease(model(folder, "one"), OPTIONS) as loaded:
        with pytest.raises(UnsupportedCapability):
            await loaded.engine.embed(EmbedRequest("e", [[2]]))


SERVER = """
import asyncio, sys
from pyollama.engine.spec import LoadSpec
from pyollama.worker.proxy import WorkerProxy
async def main():
    await WorkerProxy.start(LoadSpec(path=sys.argv[1], n_ctx=64))
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.parametrize("worker_state", ["running", "stopped"])
def test_a_worker_does_not_survive_its_server(folder: Path, worker_state: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder / "one.gguf")], stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        (worker,) = psutil.Process(server.pid).children()
        if worker_state == "stopped":
            worker.suspend()
        server.kill()
    worker.wait(timeout=PATIENCE)


def test_ctrl_c_is_for_the_server_alone(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder / "one.gguf")], stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        (worker,) = psutil.Process(server.pid).children()
        os.kill(worker.pid, signal.SIGINT)
        time.sleep(0.2)
        assert worker.is_running()
        assert worker.status() != psutil.STATUS_ZOMBIE
        server.kill()
    worker.wait(timeout=PATIENCE)
