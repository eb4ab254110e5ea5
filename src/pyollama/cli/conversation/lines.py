"""The line editor: keys, several lines in one message, an editor of the user's choice."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

from pyollama.cli.conversation.history import LineHistory

FENCE = '"""'
_FENCED = (FENCE, f"/set system {FENCE}")
_STYLE = Style.from_dict({"placeholder": "ansibrightblack"})
_PLACEHOLDER = FormattedText([("class:placeholder", "Send a message (/? for help)")])


def is_open(text: str) -> bool:
    """Whether ``text`` begins a message of several lines that has not ended yet."""
    for beginning in _FENCED:
        if text.startswith(beginning):
            rest = text.removeprefix(beginning)
            return not rest.rstrip().endswith(FENCE)
    return False


def unfenced(text: str) -> str:
    """The text between the marks of several lines, or ``text`` as it is."""
    stripped = text.strip()
    if not stripped.startswith(FENCE):
        return stripped
    return stripped.removeprefix(FENCE).removesuffix(FENCE)


class LineEditor:
    """Reads what the user types. ``editor`` is a command line that edits the file it is given."""

    def __init__(self, history: LineHistory, editor: str) -> None:
        self._editor = editor
        self._session: PromptSession[str] = PromptSession(
            message=">>> ",
            history=history,
            multiline=Condition(self._is_open),
            prompt_continuation=lambda width, line, wrapped: "    " if wrapped else "... ",
            placeholder=_PLACEHOLDER,
            style=_STYLE,
            key_bindings=self._keys(),
            enable_suspend=True,
            include_default_pygments_style=False,
        )

    def read(self) -> str:
        """One message as it was typed.

        Raises :class:`EOFError` when the user wants to leave, and :class:`KeyboardInterrupt` for
        Ctrl-C on an empty line; elsewhere Ctrl-C forgets what was typed.
        """
        while True:
            try:
                return self._session.prompt()
            except KeyboardInterrupt:
                if not self._session.default_buffer.text:
                    raise

    def _is_open(self) -> bool:
        return is_open(self._session.default_buffer.text)

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("c-j")
        def _newline(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("tab")
        def _blanks(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text(" " * 8)

        @keys.add("c-g")
        async def _edit(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            text = await run_in_terminal(lambda: edited(buffer.text, self._editor))
            if text is not None:
                buffer.text = text
                buffer.cursor_position = len(text)

        return keys


def editor_command(setting: str) -> str:
    """``setting`` (``OLLAMA_EDITOR``), or the editor that other programs use, or ``vi``."""
    return setting or os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"


def edited(text: str, editor: str) -> str | None:
    """What the user made of ``text`` in ``editor``; ``None`` where that could not be started."""
    handle, name = tempfile.mkstemp(prefix="pyollama-prompt-", suffix=".txt")
    path = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        subprocess.run([*shlex.split(editor), name], check=False)
        return path.read_text("utf-8", errors="replace").rstrip("\n")
    except (OSError, ValueError):
        print(  # noqa: T201 - prompt_toolkit has given the terminal to this function
            f'editor "{editor}" not found, set OLLAMA_EDITOR to the path of your preferred editor'
        )
        return None
    finally:
        path.unlink(missing_ok=True)
