"""``pyollama doctor``: is everything in place, and if not, what is to be done."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from pyollama import __version__
from pyollama.cli.arguments import exactly
from pyollama.cli.formats import size
from pyollama.cli.main import Command
from pyollama.client import Client
from pyollama.config import Settings
from pyollama.errors import ApiError, ConfigError, PyollamaError, ServerUnreachable

_LITTLE_MEMORY = 1 << 30
_LITTLE_DISK = 5 * 10**9
_NVIDIA = Path("/dev/nvidiactl")
_AMD = Path("/dev/kfd")
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``advice`` says what to do, where there is something to do."""

    subject: str
    text: str
    advice: str = ""
    verdict: Literal["ok", "note", "problem"] = "ok"


@click.command("doctor", cls=Command)
@click.argument("arguments", nargs=-1)
def command(arguments: tuple[str, ...]) -> None:
    """Check that everything is in place

    Looks at the settings, the build, the devices, memory, the models on disk and the server's
    address, and says what to do. The exit status is 1 if there is a problem.
    """
    exactly(0, arguments)
    problems = 0
    for finding in findings():
        problems += finding.verdict == "problem"
        click.echo(f"{finding.verdict:<8}{finding.subject:<10}{finding.text}")
        if finding.advice:
            click.echo(f"{'':<18}{finding.advice}")
    sys.exit(1 if problems else 0)


def findings() -> Iterator[Finding]:
    try:
        settings = Settings.load()
    except ConfigError as error:
        yield Finding("settings", error.message, error.hint, "problem")
        settings = Settings()
    try:
        from pyollama import compose
    except ImportError as error:
        advice = "reinstall pyollama; in a checkout run 'make setup'"
        yield Finding("build", str(error), advice, "problem")
    else:
        yield Finding("build", f"pyollama {__version__}, Python {platform.python_version()}")
        machine = compose.machine()
        yield _devices([f"{gpu.name} ({size(gpu.memory_total)})" for gpu in machine.gpus])
        yield _memory(machine.memory_free, machine.memory_total)
        yield _store(settings)
    yield _disk(settings.models)
    yield _server(settings)


def _devices(names: list[str]) -> Finding:
    if names:
        return Finding("devices", ", ".join(names))
    text = "no GPU, models run on the processor"
    for sign, maker, switch in ((_NVIDIA, "NVIDIA", "CUDA"), (_AMD, "AMD", "HIP")):
        if sign.exists():
            advice = (
                f"an {maker} driver is there, but this build cannot use it:"
                f" install with CMAKE_ARGS=-DPYOLLAMA_{switch}=ON"
            )
            return Finding("devices", text, advice, "note")
    return Finding("devices", text)


def _memory(free: int, total: int) -> Finding:
    text = f"{size(free)} of {size(total)} are free"
    if free >= _LITTLE_MEMORY:
        return Finding("memory", text)
    advice = "'pyollama ps' lists the models in memory, 'pyollama stop MODEL' frees one"
    return Finding("memory", text, advice, "note")


def _store(settings: Settings) -> Finding:
    from pyollama.compose import open_store

    try:
        models = open_store(settings).list()
    except PyollamaError as error:
        return Finding("store", error.message, error.hint, "problem")
    return Finding("store", f"{len(models)} model(s) in {settings.models}")


def _disk(folder: Path) -> Finding:
    """Whether models can be added to ``folder``, which need not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        advice = "set OLLAMA_MODELS to a folder"
        return Finding("disk", f"{existing} is no folder", advice, "problem")
    if not os.access(existing, os.W_OK | os.X_OK):
        advice = "models can be used but not added; change its owner, or set OLLAMA_MODELS"
        return Finding("disk", f"{existing} cannot be written", advice, "note")
    free = shutil.disk_usage(existing).free
    text = f"{size(free)} are free in {existing}"
    if free >= _LITTLE_DISK:
        return Finding("disk", text)
    advice = "'pyollama rm MODEL' and 'pyollama store prune' make room"
    return Finding("disk", text, advice, "note")


def _server(settings: Settings) -> Finding:
    address = settings.address
    try:
        version = Client(address.url, connect_timeout=_CONNECT_SECONDS).version()
    except ServerUnreachable as error:
        if not address.is_local:
            advice = "start a server there, or set OLLAMA_HOST to another address"
            return Finding("server", error.message, advice, "problem")
        return _free_port(settings)
    except (ApiError, KeyError):
        advice = "end that program, or set OLLAMA_HOST to another address"
        text = f"another program answers at {address.url}"
        holder = _holder(address.port) if address.is_local else ""
        return Finding("server", text + holder, advice, "problem")
    return Finding("server", f"version {version} answers at {address.url}")


def _free_port(settings: Settings) -> Finding:
    """Whether a server could be started at an address of this machine where none answers."""
    address = settings.address
    try:
        family, kind, _, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        advice = "set OLLAMA_HOST to another address"
        text = f"cannot listen at {address.netloc}: {error.strerror}{_holder(address.port)}"
        return Finding("server", text, advice, "problem")
    text = f"none runs at {address.url}, and the port is free"
    return Finding("server", text, "'pyollama serve' starts one", "note")


def _holder(port: int) -> str:
    """The program that has ``port``, as far as this user may know."""
    import psutil

    try:
        for each in psutil.net_connections("tcp"):
            if each.pid and each.laddr and each.laddr.port == port and not each.raddr:
                return f" (by {psutil.Process(each.pid).name()}, process {each.pid})"
    except psutil.Error:
        pass
    return ""
