"""``pyollama tokenize``"""

from __future__ import annotations

import json
import sys

import click

from pyollama.cli.arguments import at_least
from pyollama.cli.completion import stored_models
from pyollama.cli.connection import connect
from pyollama.cli.main import Command
from pyollama.cli.paths import model_named


@click.command("tokenize", cls=Command, usage="MODEL [TEXT]")
@click.argument("arguments", nargs=-1, shell_complete=stored_models)
@click.option("--count", is_flag=True, help="Show only how many there are")
@click.option("--raw", is_flag=True, help="Only the text, without tokens that the model adds")
def command(arguments: tuple[str, ...], count: bool, raw: bool) -> None:
    """Show the tokens of a text

    The text is that of the arguments, or else standard input. Each line of the output has the
    number of a token and its text in JSON.
    """
    model, *words = at_least(1, arguments)
    if not words and sys.stdin.isatty():
        raise click.UsageError("no text: give it as an argument or on standard input")
    text = " ".join(words) if words else sys.stdin.read()
    with connect() as client:
        found = client.tokenize(model_named(model, client), text, add_special=not raw)
    if count:
        click.echo(found["count"])
        return
    for token, piece in zip(found["tokens"], found["pieces"], strict=True):
        click.echo(f"{token:>8}  {json.dumps(piece, ensure_ascii=False)}")
