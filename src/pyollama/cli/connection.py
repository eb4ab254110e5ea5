"""Reaching the server that a command talks to, and starting one where that is asked for."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click

from pyollama.client import Client
from pyollama.config import Settings
from pyollama.errors import ServerUnreachable

_POLL_SECONDS = 0.05


def connect() -> Client:
    """A client of the server named by ``OLLAMA_HOST``; it has answered."""
    client = Client(Settings.load().address.url)
    try:
        client.ping()
    except ServerUnreachable as error:
        raise ServerUnreachable(
            "could not connect to pyollama server, run 'pyollama serve' to start it"
        ) from error
    return client


def connect_or_start(*, patience: float = 30.0) -> Client:
    """Like :func:`connect`, but start a server on this machine when none listens.

    The server goes on after the command has ended, as if it had been started by hand. ``patience``
    is how many seconds it may take to answer.
    """
    settings = Settings.load()
    client = Client(settings.address.url)
    try:
        client.ping()
    except ServerUnreachable:
        if not settings.address.is_local:
            raise
        _start_server(client, patience)
    return client


def _start_server(client: Client, patience: float) -> None:
    log_path = Path.home() / ".ollama" / "logs" / "server.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "pyollama", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    click.echo(
        f"No server at {client.base_url}: started one (process {server.pid}, log {log_path}).",
        err=True,
    )
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServerUnreachable(
                f"the server that was started ended with status {server.returncode}",
                hint=f"see {log_path}",
            )
        try:
            return client.ping()
        except ServerUnreachable:
            time.sleep(_POLL_SECONDS)
    raise ServerUnreachable(
        f"the server that was started did not answer within {patience:.0f} seconds",
        hint=f"see {log_path}",
    )
