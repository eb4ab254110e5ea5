"""``pyollama rm``"""

from __future__ import annotations

from http import HTTPStatus

import click

from pyollama.cli.arguments import at_least
from pyollama.cli.completion import stored_models
from pyollama.cli.connection import connect
from pyollama.cli.main import Command
from pyollama.client import Client
from pyollama.errors import ApiError


@click.command("rm", cls=Command, usage="MODEL [MODEL...]")
@click.argument("arguments", nargs=-1, shell_complete=stored_models)
def command(arguments: tuple[str, ...]) -> None:
    """Remove a model"""
    with connect() as client:
        for model in at_least(1, arguments):
            _stop(client, model)
            client.delete(model)
            click.echo(f"deleted '{model}'")


def _stop(client: Client, model: str) -> None:
    """Unload before the files go; a model that is unknown is for the deletion to report."""
    try:
        client.unload(model)
    except ApiError as error:
        if error.details.get("status") not in (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST):
            click.echo(f"Warning: unable to stop model '{model}'", err=True)
