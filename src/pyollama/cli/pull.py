"""``pyollama pull``"""

from __future__ import annotations

import re

import click

from pyollama.cli.arguments import exactly
from pyollama.cli.connection import connect
from pyollama.cli.main import Command
from pyollama.cli.progress import ProgressDisplay

_RATE = re.compile(r"(\d{1,12}(?:\.\d{1,3})?)([kmg]?)b?(?:/s)?", re.IGNORECASE)


@click.command("pull", cls=Command, usage="MODEL")
@click.argument("arguments", nargs=-1)
@click.option("--insecure", is_flag=True, help="Use an insecure registry")
@click.option("--limit-rate", default="0", help="Bytes per second at most (for example 10MB)")
def command(arguments: tuple[str, ...], insecure: bool, limit_rate: str) -> None:
    """Pull a model from a registry

    A pull that was interrupted goes on where it stopped.
    """
    (model,) = exactly(1, arguments)
    rate = parse_rate(limit_rate)
    with connect() as client, ProgressDisplay() as display:
        for progress in client.pull(model, insecure=insecure, limit_rate=rate):
            display.show(progress)


def parse_rate(text: str) -> int:
    """Bytes per second: ``500k``, ``10MB``, ``1.5G``, in steps of 1000; 0 is no limit."""
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise click.UsageError(f"--limit-rate: {text!r} is no rate such as 500k or 10MB")
    number, unit = found.groups()
    rate = float(number) * 1000.0 ** " kmg".index(unit.lower() or " ")
    return max(int(rate), 1) if rate else 0
