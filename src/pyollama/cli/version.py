"""``pyollama --version``: the server's version, and ours where the two differ."""

from __future__ import annotations

import click

from pyollama import __version__
from pyollama.client import Client
from pyollama.config import Settings
from pyollama.errors import ClientError


def show_version() -> None:
    server = _server_version(Settings.load().address.url)
    if server is None:
        click.echo("Warning: could not connect to a running pyollama instance")
    else:
        click.echo(f"pyollama version is {server}")
    if server != __version__:
        click.echo(f"Warning: client version is {__version__}")


def _server_version(url: str) -> str | None:
    try:
        return Client(url, connect_timeout=5).version()
    except (ClientError, KeyError):
        return None
