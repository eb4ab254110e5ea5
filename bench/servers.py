"""Starts the servers that are compared, each on its own port and with its own empty store."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.dialects import Dialect, LlamaServer, Ollama

PEERS = Path(__file__).parents[1] / "build" / "peers" / "bin"
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    base_url: str
    dialect: Dialect
    pid: int
    flags: tuple[str, ...]


def peer(program: str) -> Path | None:
    """A program of the pinned llama.cpp: built by ``make peers``, or found on the PATH."""
    built = PEERS / program
    found = str(built) if built.exists() else shutil.which(program)
    return Path(found) if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def pyollama(model: Path, *, threads: int, parallel: int) -> Iterator[Server]:
    with _ollama_like(
        "pyollama", [sys.executable, "-m", "pyollama", "serve"], model, threads, parallel
    ) as server:
        yield server


@contextmanager
def ollama(model: Path, *, threads: int, parallel: int) -> Iterator[Server]:
    with _ollama_like("ollama", ["ollama", "serve"], model, threads, parallel) as server:
        yield server


@contextmanager
def _ollama_like(
    name: str, command: list[str], model: Path, threads: int, parallel: int
) -> Iterator[Server]:
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="pyollama-bench-") as store:
        environment = os.environ | {
            "OLLAMA_HOST": f"127.0.0.1:{port}",
            "OLLAMA_MODELS": store,
            "OLLAMA_NUM_PARALLEL": str(parallel),
            "OLLAMA_KEEP_ALIVE": "-1",
        }
        base_url = f"http://127.0.0.1:{port}"
        with _running(command, environment, f"{base_url}/") as pid:
            _upload(base_url, model, threads)
            yield Server(name, base_url, Ollama("bench"), pid, (f"parallel={parallel}",))


def _upload(base_url: str, model: Path, threads: int) -> None:
    with model.open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        http = httpx.Client(base_url=base_url, timeout=600)
        http.post(f"/api/blobs/{digest}", content=file).raise_for_status()
    body = {
        "model": "bench",
        "files": {model.name: digest},
        "parameters": {"num_thread": threads},
        "stream": False,
    }
    http.post("/api/create", json=body).raise_for_status()
    http.close()


@contextmanager
def llama_server(
    model: Path, *, threads: int, parallel: int, embedding: bool = False
) -> Iterator[Server]:
    program = peer("llama-server")
    if program is None:
        raise FileNotFoundError("llama-server is neither built nor on the PATH: run 'make peers'")
    port = _free_port()
    flags = ["--threads", str(threads), "--parallel", str(parallel), "--kv-unified"]
    flags += ["--ctx-size", "16384"]
    if embedding:
        flags += ["--embedding", "--batch-size", "2048", "--ubatch-size", "2048"]
    command = [str(program), "--model", str(model), "--port", str(port), "--no-webui", *flags]
    base_url = f"http://127.0.0.1:{port}"
    with _running(command, dict(os.environ), f"{base_url}/health") as pid:
        yield Server("llama-server", base_url, LlamaServer(), pid, tuple(flags))


@contextmanager
def _running(command: list[str], environment: dict[str, str], probe: str) -> Iterator[int]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + _PATIENCE
            while not _answers(probe):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    tail = log.read().decode(errors="replace")[-2000:]
                    raise RuntimeError(f"{command[0]} did not come up:\n{tail}")
                time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False
