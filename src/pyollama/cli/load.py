"""``pyollama load``"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from pyollama.cli.answer import Spinner
from pyollama.cli.arguments import at_least, check_duration
from pyollama.cli.completion import stored_models
from pyollama.cli.connection import connect
from pyollama.cli.main import Command
from pyollama.cli.paths import model_named
from pyollama.client import Client

JSON = dict[str, Any]


@click.command("load", cls=Command, usage="MODEL [MODEL...]")
@click.argument("arguments", nargs=-1, shell_complete=stored_models)
@click.option("--keepalive", help="How long the model stays in memory (for example 5m)")
def command(arguments: tuple[str, ...], keepalive: str | None) -> None:
    """Load a model into memory

    The command ends when the model is ready to answer.
    """
    models = at_least(1, arguments)
    common: JSON = {} if keepalive is None else {"keep_alive": check_duration(keepalive)}
    with connect() as client:
        for model in models:
            with Spinner():
                _load(client, common | {"model": model_named(model, client)})
            click.echo(f"loaded '{model}'")


def _load(client: Client, body: JSON) -> None:
    if "embedding" in client.show(body["model"]).get("capabilities", []):
        client.embed(body | {"input": []})
        return
    with closing(client.generate(body)) as frames:
        for _ in frames:
            pass
