"""``pyollama push``"""

from __future__ import annotations

import click

from pyollama.cli.arguments import exactly
from pyollama.cli.completion import stored_models
from pyollama.cli.connection import connect
from pyollama.cli.main import Command
from pyollama.cli.progress import ProgressDisplay
from pyollama.store.name import DEFAULT_HOST, DEFAULT_TAG, Name

_OLLAMA = (DEFAULT_HOST, "ollama.com", "www.ollama.com")


@click.command("push", cls=Command, usage="MODEL")
@click.argument("arguments", nargs=-1, shell_complete=stored_models)
@click.option("--insecure", is_flag=True, help="Use an insecure registry")
def command(arguments: tuple[str, ...], insecure: bool) -> None:
    """Push a model to a registry"""
    (model,) = exactly(1, arguments)
    with connect() as client, ProgressDisplay() as display:
        for progress in client.push(model, insecure=insecure):
            display.show(progress)
    click.echo(f"\nYou can find your model at:\n\n\t{_place(Name.parse(model))}")


def _place(name: Name) -> str:
    if name.host.lower() not in _OLLAMA:
        return str(name)
    tag = "" if name.tag == DEFAULT_TAG else f":{name.tag}"
    return f"https://ollama.com/{name.namespace}/{name.model}{tag}"
