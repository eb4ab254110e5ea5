"""``pyollama cp``"""

from __future__ import annotations

import click

from pyollama.cli.arguments import exactly
from pyollama.cli.completion import stored_models
from pyollama.cli.connection import connect
from pyollama.cli.main import Command


@click.command("cp", cls=Command, usage="SOURCE DESTINATION")
@click.argument("arguments", nargs=-1, shell_complete=stored_models)
def command(arguments: tuple[str, ...]) -> None:
    """Copy a model"""
    source, destination = exactly(2, arguments)
    with connect() as client:
        client.copy(source, destination)
    click.echo(f"copied '{source}' to '{destination}'")
