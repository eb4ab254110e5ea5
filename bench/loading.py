"""How long it takes until something answers: commands, the server, a worker, the first token.

The model's file is in the system's page cache, as it is after any recent use.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx

from bench import servers
from bench.inprocess import loaded, spec_of
from bench.options import add_common, wanted
from bench.report import figure, publish
from bench.servers import MODEL, Server, Wanted
from pyollama.worker.proxy import WorkerProxy

_PYOLLAMA = [sys.executable, "-m", "pyollama"]
_PROMPT = " one two three four five six seven eight nine"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_common(parser)


def run(options: argparse.Namespace) -> int:
    asked = wanted(options)
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="pyollama-bench-") as folder:
        store = Path(folder)
        with _serve(asked, store) as server:
            servers.upload(server.base_url, asked)
        for _ in range(options.rounds):
            for name, seconds in (_one_round(asked, store) | _one_load(asked)).items():
                times.setdefault(name, []).append(1000 * seconds)
    return publish([figure(n, v, "ms", at_most=_BOUNDS.get(n)) for n, v in times.items()], options)


_BOUNDS = {
    "pyollama --version": 100.0,
    "pyollama list": 200.0,
    "server ready": 1000.0,
    "worker start, without the load": 300.0,
}


def _serve(asked: Wanted, store: Path) -> AbstractContextManager[Server]:
    return servers.ollama_on("pyollama", [*_PYOLLAMA, "serve"], asked, store)


def _one_round(asked: Wanted, store: Path) -> dict[str, float]:
    """Seconds, from the client's side."""
    begin = time.perf_counter()
    with _serve(asked, store) as server:
        ready = time.perf_counter() - begin
        address = os.environ | {"OLLAMA_HOST": server.base_url.removeprefix("http://")}
        commands = {f"pyollama {name}": _command(name, address) for name in ("--version", "list")}
        return {**commands, "server ready": ready, **_answer_times(server)}


def _answer_times(server: Server) -> dict[str, float]:
    with httpx.Client(base_url=server.base_url, timeout=600) as http:
        cold, warm = _timed(lambda: _ask(http)), _timed(lambda: _ask(http))
        servers.unload(http)
        return {
            "first answer, cold": cold,
            "first answer, warm": warm,
            "first answer, after an unload": _timed(lambda: _ask(http)),
        }


def _one_load(asked: Wanted) -> dict[str, float]:
    """Seconds to load in a worker and in this process; the difference is the worker's start."""
    begin = time.perf_counter()
    with loaded(asked):
        here = time.perf_counter() - begin
    worker = asyncio.run(_worker_start(asked))
    return {
        "model load in this process": here,
        "worker start with the load": worker,
        "worker start, without the load": worker - here,
    }


async def _worker_start(asked: Wanted) -> float:
    begin = time.perf_counter()
    proxy = await WorkerProxy.start(spec_of(asked))
    started = time.perf_counter() - begin
    await proxy.close()
    return started


def _command(argument: str, environment: dict[str, str]) -> float:
    command = [*_PYOLLAMA, argument]
    return _timed(
        lambda: subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    )


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _ask(http: httpx.Client) -> None:
    """One token behind nine."""
    body = {
        "model": MODEL,
        "prompt": _PROMPT,
        "raw": True,
        "stream": False,
        "options": {"num_predict": 1},
    }
    http.post("/api/generate", json=body).raise_for_status()
