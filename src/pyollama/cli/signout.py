"""``pyollama signout``"""

from __future__ import annotations

import click

from pyollama.cli.arguments import exactly
from pyollama.cli.main import Command


@click.command("signout", cls=Command, usage="", epilog="")
@click.argument("arguments", nargs=-1)
def command(arguments: tuple[str, ...]) -> None:
    """Explain that nobody is signed in"""
    exactly(0, arguments)
    click.echo("You are not signed in to ollama.com")
