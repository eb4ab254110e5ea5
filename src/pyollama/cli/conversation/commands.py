"""The commands of a conversation, which begin with a slash."""

from __future__ import annotations

from http import HTTPStatus

import click

from pyollama.cli.conversation import texts
from pyollama.cli.conversation.history import LineHistory
from pyollama.cli.conversation.session import Session
from pyollama.cli.conversation.settings import set_something
from pyollama.cli.list import listing
from pyollama.cli.paths import model_named
from pyollama.cli.progress import ProgressDisplay
from pyollama.cli.show import summary
from pyollama.errors import ApiError, InvalidName
from pyollama.store.name import Name

_HELP = {"set": texts.SET, "show": texts.SHOW, "shortcut": texts.SHORTCUTS}
_MISSING = {
    "license": "No license was specified for this model.",
    "modelfile": "No Modelfile was specified for this model.",
    "system": "No system message was specified for this model.",
    "template": "No prompt template was specified for this model.",
}


class Commands:
    """What the lines with a slash do. A name may be followed by anything, as in Ollama."""

    def __init__(self, session: Session, history: LineHistory) -> None:
        self._session = session
        self._history = history

    def run(self, line: str) -> bool:
        """Do what ``line`` says; ``False`` if there is no such command."""
        table = {
            "/list": self._list,
            "/load": self._load,
            "/save": self._save,
            "/clear": self._clear,
            "/set": self._set,
            "/show": self._show,
            "/help": self._help,
            "/?": self._help,
        }
        action = next((do for name, do in table.items() if line.startswith(name)), None)
        if action is None:
            return False
        action(line)
        return True

    def _list(self, line: str) -> None:
        prefix = "".join(line.split()[1:2])
        click.echo(listing(self._session.client.models(), prefix), nl=False)

    def _load(self, line: str) -> None:
        words = line.split()
        if len(words) != 2:
            click.echo("Usage:\n  /load <modelname>")
            return
        session, name = self._session, words[1]
        model = model_named(name, session.client)
        click.echo(f"Loading model '{name}'")
        try:
            shown = session.client.show(model)
        except ApiError as error:
            if error.details.get("status") != HTTPStatus.NOT_FOUND:
                raise
            click.echo(f"Couldn't find model '{name}'")
            return
        session.change_model(model, shown)

    def _save(self, line: str) -> None:
        words = line.split()
        if len(words) != 2:
            click.echo("Usage:\n  /save <modelname>")
            return
        try:
            Name.parse(words[1])
        except InvalidName:
            click.echo(f"error: The model name '{words[1]}' is invalid")
            return
        with ProgressDisplay() as display:
            for progress in self._session.save(words[1]):
                display.show(progress)
        click.echo(f"Created new model '{words[1]}'")

    def _clear(self, line: str) -> None:
        self._session.clear()
        click.echo("Cleared session context")

    def _set(self, line: str) -> None:
        set_something(self._session, self._history, line)

    def _help(self, line: str) -> None:
        topic = "".join(line.split()[1:2]).lstrip("/")
        found = next((text for name, text in _HELP.items() if topic.startswith(name)), texts.HELP)
        click.echo(found, err=True)

    def _show(self, line: str) -> None:
        part = "".join(line.split()[1:2])
        session = self._session
        if not part:
            click.echo(texts.SHOW, err=True)
            return
        shown = session.client.show(session.model)
        if part == "info":
            click.echo(summary(shown, verbose=False), nl=False, err=True)
        elif part == "parameters":
            self._show_parameters(shown.get("parameters", ""))
        elif part in _MISSING:
            own = session.system if part == "system" else ""
            click.echo(own or shown.get(part) or _MISSING[part])
            click.echo()
        else:
            click.echo(f"Unknown command '/show {part}'. Type /? for help")

    def _show_parameters(self, defined: str) -> None:
        click.echo("Model defined parameters:")
        for row in defined.splitlines() or ["No additional parameters were specified."]:
            click.echo(f"  {row}")
        click.echo()
        if self._session.parameters:
            click.echo("User defined parameters:")
            for name, value in self._session.parameters.items():
                values = value if isinstance(value, list) else [value]
                click.echo(f"  {name:<30} {', '.join(map(str, values))}")
            click.echo()
