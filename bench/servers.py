"""Starts the servers that are compared, each on its own port and with its own empty store."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bench import peers
from bench.dialects import TEMPERATURE, Dialect, LlamaServer, Ollama, OpenAI

MODEL = "bench"
_PATIENCE = 120.0
_GRACE = 10.0
_LEAST_CELLS = 16384


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a server is to be started for.

    ``parallel`` is how many requests it should run at a time, ``n_ctx`` how long one may get in
    tokens (0: the server's own choice); ``environment`` is added to pyollama's.
    """

    model: Path
    threads: int
    parallel: int = 8
    n_ctx: int = 0
    embeds: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def cells(self) -> int:
        """Tokens that all requests together may take."""
        return max(_LEAST_CELLS, self.n_ctx * self.parallel)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. ``connect`` is to be called in the event loop that uses the dialect."""

    name: str
    base_url: str
    connect: Callable[[], Dialect]
    pid: int
    flags: tuple[str, ...]


Start = Callable[[Wanted], AbstractContextManager[Server]]


def pyollama(wanted: Wanted) -> AbstractContextManager[Server]:
    return _ollama_like("pyollama", [sys.executable, "-m", "pyollama", "serve"], wanted)


def ollama(wanted: Wanted) -> AbstractContextManager[Server]:
    return _ollama_like("ollama", [str(peers.ollama()), "serve"], wanted)


@contextmanager
def _ollama_like(name: str, command: list[str], wanted: Wanted) -> Iterator[Server]:
    with (
        tempfile.TemporaryDirectory(prefix="pyollama-bench-") as store,
        ollama_on(name, command, wanted, Path(store)) as server,
    ):
        upload(server.base_url, wanted)
        yield server


@contextmanager
def ollama_on(name: str, command: list[str], wanted: Wanted, store: Path) -> Iterator[Server]:
    """A server with a store that stays; nothing is put into it."""
    port = free_port()
    settings = {
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_MODELS": str(store),
        "OLLAMA_NUM_PARALLEL": str(wanted.parallel),
        "OLLAMA_KEEP_ALIVE": "-1",
        **wanted.environment,
    }
    base_url = f"http://127.0.0.1:{port}"
    with _running(command, os.environ | settings, f"{base_url}/") as pid:
        shown = {"OLLAMA_NUM_PARALLEL": str(wanted.parallel), **wanted.environment}
        flags = tuple(f"{key}={value}" for key, value in shown.items())
        yield Server(name, base_url, lambda: Ollama(base_url, MODEL), pid, flags)


def upload(base_url: str, wanted: Wanted, *, temperature: float = TEMPERATURE) -> None:
    """Put the model into the server's store, under the name :data:`MODEL`."""
    parameters: dict[str, float] = {"num_thread": wanted.threads, "temperature": temperature}
    if wanted.n_ctx:
        parameters["num_ctx"] = wanted.n_ctx
    with wanted.model.open("rb") as file, httpx.Client(base_url=base_url, timeout=600) as http:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        http.post(f"/api/blobs/{digest}", content=file).raise_for_status()
        body = {
            "model": MODEL,
            "files": {wanted.model.name: digest},
            "parameters": parameters,
            "stream": False,
        }
        http.post("/api/create", json=body).raise_for_status()


@contextmanager
def llama_server(wanted: Wanted) -> Iterator[Server]:
    program = peers.program("llama-server")
    port = free_port()
    flags = ["--threads", str(wanted.threads), "--parallel", str(wanted.parallel), "--kv-unified"]
    flags += ["--ctx-size", str(wanted.cells)]
    if wanted.embeds:
        flags += ["--embedding", "--batch-size", "2048", "--ubatch-size", "2048"]
    command = [str(program), "--model", str(wanted.model), "--port", str(port), "--no-webui"]
    base_url = f"http://127.0.0.1:{port}"
    with _running([*command, *flags], dict(os.environ), f"{base_url}/health") as pid:
        yield Server("llama-server", base_url, lambda: LlamaServer(base_url), pid, tuple(flags))


@contextmanager
def llama_cpp_python(wanted: Wanted) -> Iterator[Server]:
    python = peers.llama_cpp_python()
    port = free_port()
    flags = ["--n_threads", str(wanted.threads), "--n_threads_batch", str(wanted.threads)]
    flags += ["--n_ctx", str(wanted.cells), "--embedding", str(wanted.embeds)]
    flags += ["--interrupt_requests", "False"]  # or every new request ends the one before
    command = [str(python), "-m", "llama_cpp.server", "--model", str(wanted.model)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    base_url = f"http://127.0.0.1:{port}"
    environment = os.environ | {"LLAMA_CPP_LIB_PATH": str(peers.library_folder())}
    with _running([*command, *flags], environment, f"{base_url}/v1/models") as pid:
        yield Server("llama-cpp-python", base_url, lambda: OpenAI(base_url), pid, tuple(flags))


SERVERS: dict[str, Start] = {
    "pyollama": pyollama,
    "ollama": ollama,
    "llama-server": llama_server,
    "llama-cpp-python": llama_cpp_python,
}


def missing(name: str) -> str | None:
    """Why a server cannot be measured here; ``None`` if it can. May install llama-cpp-python."""
    try:
        match name:
            case "ollama":
                peers.ollama()
            case "llama-server":
                peers.program("llama-server")
            case "llama-cpp-python":
                peers.library_folder()
                peers.llama_cpp_python()
    except peers.PeerMissing as error:
        return str(error)
    return None


def version(name: str) -> str:
    match name:
        case "ollama":
            return peers.version([str(peers.ollama()), "--version"])
        case "llama-server":
            return peers.version([str(peers.program("llama-server")), "--version"])
        case "llama-cpp-python":
            return peers.pinned_version()
    return peers.version([sys.executable, "-m", "pyollama", "--version"])


def unload(http: httpx.Client) -> None:
    """Take the model out of memory; ``http`` is a client of a server with Ollama's API."""
    body = {"model": MODEL, "prompt": "", "keep_alive": 0}
    http.post("/api/generate", json=body).raise_for_status()
    while http.get("/api/ps").json()["models"]:
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
                time.sleep(0.02)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    """By the plainest client there is: asking must not take time from the server that starts."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=2)
    try:
        connection.request("GET", address.path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
