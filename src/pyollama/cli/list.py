"""``pyollama list``"""

from __future__ import annotations

from datetime import datetime

import click

from pyollama.cli.connection import connect
from pyollama.cli.formats import relative_time, size, table
from pyollama.cli.main import Command


@click.command("list", cls=Command)
@click.argument("arguments", nargs=-1)
def command(arguments: tuple[str, ...]) -> None:
    """List models

    Only those whose name begins with the first argument, if there is one.
    """
    prefix = arguments[0].lower() if arguments else ""
    with connect() as client:
        models = client.models()
    now = datetime.now().astimezone()
    rows = [
        (
            model["name"],
            model["digest"][:12],
            "-" if model.get("remote_model") else size(model["size"]),
            relative_time(datetime.fromisoformat(model["modified_at"]), now),
        )
        for model in models
        if model["name"].lower().startswith(prefix)
    ]
    click.echo(table(("NAME", "ID", "SIZE", "MODIFIED"), rows), nl=False)
