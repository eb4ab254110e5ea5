"""``pyollama ps``"""

from __future__ import annotations

from datetime import datetime

import click

from pyollama.cli.connection import connect
from pyollama.cli.formats import relative_time, size, table
from pyollama.cli.main import Command

_HEADER = ("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL")


@click.command("ps", cls=Command)
@click.argument("arguments", nargs=-1)
def command(arguments: tuple[str, ...]) -> None:
    """List running models

    Only those whose name begins with the first argument, if there is one.
    """
    prefix = arguments[0] if arguments else ""
    with connect() as client:
        models = client.running()
    now = datetime.now().astimezone()
    rows = [
        (
            model["name"],
            model["digest"][:12],
            size(model["size"]),
            processor(model["size"], model["size_vram"]),
            str(model["context_length"]),
            until(datetime.fromisoformat(model["expires_at"]), now),
        )
        for model in models
        if model["name"].startswith(prefix)
    ]
    click.echo(table(_HEADER, rows), nl=False)


def processor(total: int, vram: int) -> str:
    """Where a model of ``total`` bytes lies, ``vram`` of them on a GPU."""
    if vram == 0:
        return "100% CPU"
    if vram == total:
        return "100% GPU"
    if vram > total or total == 0:
        return "Unknown"
    cpu = round(100 * (total - vram) / total)
    return f"{cpu}%/{100 - cpu}% CPU/GPU"


def until(expires: datetime, now: datetime) -> str:
    return relative_time(expires, now) if expires > now else "Stopping..."
