"""``pyollama --version``: the server's version, and ours where the two differ."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import click

from pyollama import __version__
from pyollama.config import Settings


def show_version() -> None:
    server = _server_version(Settings.load().address.url)
    if server is None:
        click.echo("Warning: could not connect to a running pyollama instance")
    else:
        click.echo(f"pyollama version is {server}")
    if server != __version__:
        click.echo(f"Warning: client version is {__version__}")


def _server_version(url: str) -> str | None:
    # The full client takes longer to import than this command may take altogether.
    parts = urlsplit(url)
    if parts.scheme == "https":
        from pyollama.client import Client
        from pyollama.errors import ClientError

        try:
            return Client(url).version()
        except ClientError:
            return None
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/api/version")
        return str(json.load(connection.getresponse())["version"])
    except (OSError, HTTPException, ValueError, KeyError):
        return None
    finally:
        connection.close()
