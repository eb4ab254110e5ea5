"""``pyollama stop``"""

from __future__ import annotations

from http import HTTPStatus

import click

from pyollama.cli.arguments import exactly
from pyollama.cli.completion import stored_models
from pyollama.cli.connection import connect
from pyollama.cli.main import Command
from pyollama.cli.paths import model_named
from pyollama.errors import ApiError


@click.command("stop", cls=Command, usage="MODEL")
@click.argument("arguments", nargs=-1, shell_complete=stored_models)
def command(arguments: tuple[str, ...]) -> None:
    """Unload a running model"""
    (model,) = exactly(1, arguments)
    with connect() as client:
        try:
            client.unload(model_named(model, client))
        except ApiError as error:
            if error.details.get("status") != HTTPStatus.NOT_FOUND:
                raise
            raise ApiError(f'couldn\'t find model "{model}" to stop') from error
