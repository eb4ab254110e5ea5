"""``pyollama signin``: what takes the place of an account at ollama.com."""

from __future__ import annotations

import click

from pyollama.cli.arguments import exactly
from pyollama.cli.main import Command
from pyollama.errors import NotSupported


@click.command("signin", cls=Command, usage="", epilog="")
@click.argument("arguments", nargs=-1)
def command(arguments: tuple[str, ...]) -> None:
    """Explain how to sign in to a registry"""
    exactly(0, arguments)
    raise NotSupported(
        "there is nothing to sign in to: pyollama uses no models or services of ollama.com",
        hint="A registry knows you by the key ~/.ollama/id_ed25519. Give it the line in"
        " ~/.ollama/id_ed25519.pub,\nwhich the first push or private pull makes."
        " HF_TOKEN opens private repositories of Hugging Face.",
    )
