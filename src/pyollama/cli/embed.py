"""``pyollama embed``"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import click

from pyollama.cli.arguments import at_least, check_duration
from pyollama.cli.completion import stored_models
from pyollama.cli.connection import connect
from pyollama.cli.main import Command
from pyollama.cli.paths import model_named

JSON = dict[str, Any]
_AT_A_TIME = 64


@click.command("embed", cls=Command, usage="MODEL [TEXT...]", bare={"--truncate": "true"})
@click.argument("arguments", nargs=-1, shell_complete=stored_models)
@click.option("--dimensions", type=int, help="Cut embeddings to this length")
@click.option("--keepalive", help="How long the model stays in memory (for example 5m)")
@click.option("--truncate", type=bool, help="Cut texts that are too long (default true)")
def command(
    arguments: tuple[str, ...],
    dimensions: int | None,
    keepalive: str | None,
    truncate: bool | None,
) -> None:
    """Turn texts into embeddings

    Every argument is a text; without any, every line of standard input is one. For each text a
    line with one JSON array is written, in the same order.
    """
    model, *texts = at_least(1, arguments)
    options = {"dimensions": dimensions, "truncate": truncate}
    body: JSON = {name: value for name, value in options.items() if value is not None}
    if keepalive is not None:
        body["keep_alive"] = check_duration(keepalive)
    if not texts and sys.stdin.isatty():
        raise click.UsageError("no text: give it as an argument or on standard input")
    with connect() as client:
        body["model"] = model_named(model, client)
        lines = texts or (line.rstrip("\r\n") for line in sys.stdin)
        for batch in _batches(lines):
            for vector in client.embed(body | {"input": batch})["embeddings"]:
                click.echo(json.dumps(vector))


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(texts)
    while batch := list(islice(rest, _AT_A_TIME)):
        yield batch
