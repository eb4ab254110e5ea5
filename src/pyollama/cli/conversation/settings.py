"""``/set``: how the conversation goes on."""

from __future__ import annotations

import click

from pyollama.cli.arguments import THINK_LEVELS
from pyollama.cli.conversation import texts
from pyollama.cli.conversation.history import LineHistory
from pyollama.cli.conversation.lines import unfenced
from pyollama.cli.conversation.session import Session
from pyollama.errors import InvalidRequest
from pyollama.store.modelfile import Instruction, Modelfile

_SWITCHES = {
    "wordwrap": ("word_wrap", True),
    "nowordwrap": ("word_wrap", False),
    "verbose": ("verbose", True),
    "quiet": ("verbose", False),
}


def set_something(session: Session, history: LineHistory, line: str) -> None:
    """Do what ``line``, which begins with ``/set``, says."""
    _, *words = line.split()
    match words:
        case []:
            click.echo(texts.SET, err=True)
        case ["parameter", *rest]:
            _set_parameter(session, rest)
        case ["system", *rest]:
            _set_system(session, line, given=bool(rest))
        case ["history" | "nohistory" as name]:
            history.enabled = name == "history"
        case [name] if name in _SWITCHES:
            attribute, value = _SWITCHES[name]
            setattr(session.look, attribute, value)
            click.echo(f"Set '{name}' mode.")
        case ["format" | "noformat", *rest]:
            _set_format(session, words[0], rest)
        case ["think" | "nothink", *rest]:
            _set_think(session, words[0], rest)
        case _:
            click.echo(f"Unknown command '/set {words[0]}'. Type /? for help")


def _set_parameter(session: Session, words: list[str]) -> None:
    if len(words) < 2:
        click.echo(texts.PARAMETERS, err=True)
        return
    name, *values = words
    instructions = tuple(Instruction("parameter", value, name) for value in values)
    try:
        session.parameters |= Modelfile(instructions).parameters
    except InvalidRequest as error:
        click.echo(f'Couldn\'t set parameter: "{error.message}"')
        return
    click.echo(f"Set parameter '{name}' to '{', '.join(values)}'")


def _set_system(session: Session, line: str, *, given: bool) -> None:
    if not given:
        click.echo(texts.SET, err=True)
        return
    text = line.split("system", 1)[1]
    session.set_system(unfenced(text))
    click.echo("Set system message.")


def _set_format(session: Session, name: str, words: list[str]) -> None:
    if name == "noformat":
        session.body.pop("format", None)
        click.echo("Disabled format.")
    elif words == ["json"]:
        session.body["format"] = "json"
        click.echo("Set format to 'json' mode.")
    else:
        click.echo("Invalid or missing format. For 'json' mode use '/set format json'")


def _set_think(session: Session, name: str, words: list[str]) -> None:
    level = words[0] if words and name == "think" else ""
    if level and level not in THINK_LEVELS:
        click.echo(f"Invalid level '{level}'. Use {', '.join(THINK_LEVELS)}")
        return
    session.body["think"] = level or name == "think"
    session.think_chosen = True
    click.echo(f"Set 'think' mode to '{level}'." if level else f"Set '{name}' mode.")
    if name == "think" and not session.can_think:
        click.echo(f'warning: model "{session.model}" does not support thinking output', err=True)
