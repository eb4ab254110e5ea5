"""Reading messages and answering them until the user leaves."""

from __future__ import annotations

from pathlib import Path

import click

from pyollama.cli.conversation.commands import Commands
from pyollama.cli.conversation.history import LineHistory
from pyollama.cli.conversation.lines import LineEditor, editor_command, unfenced
from pyollama.cli.conversation.session import Session
from pyollama.cli.media import names_media, take_media
from pyollama.config import Settings
from pyollama.errors import PyollamaError


def converse(session: Session) -> None:
    """Hold the conversation; it ends with ``/bye`` or Ctrl-D, and not with an error."""
    settings = Settings.load()
    history = LineHistory(Path.home() / ".ollama" / "history", enabled=not settings.nohistory)
    editor = LineEditor(history, editor_command(settings.editor))
    commands = Commands(session, history)
    session.load()
    while True:
        try:
            line = editor.read().strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            click.echo("\nUse Ctrl + d or /bye to exit.")
            continue
        if line.startswith(("/bye", "/exit")):
            return
        try:
            _act(session, commands, line)
        except KeyboardInterrupt:
            # An answer that was cut off is no good example for the next one: it is forgotten.
            click.echo("\n")
        except PyollamaError as error:
            click.echo(f"error: {error.message}\n{error.hint}".rstrip() + "\n", err=True)


def _act(session: Session, commands: Commands, line: str) -> None:
    if not line:
        return
    if line.startswith("/") and not names_media(line):
        if not commands.run(line):
            click.echo(f"Unknown command '{line.split()[0]}'. Type /? for help")
        return
    session.ask(*take_media(unfenced(line)))
