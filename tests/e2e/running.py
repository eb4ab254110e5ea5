"""A real server of our own, with a store of its own, for tests that talk to one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

_PATIENCE = 120.0
"""Seconds a start may take before something must be wrong; a slow machine needs a few."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its address, its process, and an environment for its clients."""

    url: str
    process: subprocess.Popen[bytes]
    home: Path
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def workers(self) -> list[psutil.Process]:
        """The processes of loaded models; the one that renders templates is none of them."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if not _renders_templates(child)]

    @property
    def environment(self) -> dict[str, str]:
        return clean_environment(self.home) | {"OLLAMA_HOST": self.url.removeprefix("http://")}


def _renders_templates(process: psutil.Process) -> bool:
    try:
        return "pyollama.templating.process" in process.cmdline()
    except psutil.Error:
        return False


def clean_environment(home: Path) -> dict[str, str]:
    """This process's environment without anybody's settings, and an empty home."""
    kept = {name: value for name, value in os.environ.items() if "OLLAMA" not in name}
    return kept | {"HOME": str(home), "TERM": "dumb", "NO_COLOR": "1", "TZ": "UTC"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server(home: Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Start ``pyollama serve`` and wait until it answers; it is ended at the end of ``with``."""
    home.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    environment = clean_environment(home) | {"OLLAMA_HOST": address, **(settings or {})}
    log = home / "server.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "pyollama", "serve"]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    server = Server(f"http://{address}", process, home, log)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise AssertionError(f"the server ended: {server.log.read_text()}")
        try:
            httpx.head(server.url, timeout=5).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the server does not answer: {server.log.read_text()}")
