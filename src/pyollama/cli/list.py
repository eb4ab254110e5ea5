"""``pyollama list``"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from pyollama.cli.connection import connect
from pyollama.cli.formats import relative_time, size, table
from pyollama.cli.main import Command

JSON = dict[str, Any]


@click.command("list", cls=Command)
@click.argument("arguments", nargs=-1)
def command(arguments: tuple[str, ...]) -> None:
    """List models

    Only those whose name begins with the first argument, if there is one.
    """
    with connect() as client:
        models = client.models()
    click.echo(listing(models, arguments[0] if arguments else ""), nl=False)


def listing(models: list[JSON], prefix: str) -> str:
    """The table of the models whose names begin with ``prefix``, in any case."""
    now = datetime.now().astimezone()
    rows = [
        (
            model["name"],
            model["digest"][:12],
            "-" if model.get("remote_model") else size(model["size"]),
            relative_time(datetime.fromisoformat(model["modified_at"]), now),
        )
        for model in models
        if model["name"].lower().startswith(prefix.lower())
    ]
    return table(("NAME", "ID", "SIZE", "MODIFIED"), rows)
