"""The lines that were typed, in the file that Ollama keeps them in too."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import History

ENTRIES = 100


class LineHistory(History):
    """The last :data:`ENTRIES` lines, one to a line of ``path``, oldest first.

    The file is written anew after each message, from what it holds at that moment, so that
    conversations which run side by side keep each other's lines. A message of several lines comes
    back as one while the program runs, and line by line afterwards. What cannot be read or
    written is no reason to stop a conversation.
    """

    def __init__(self, path: Path, *, enabled: bool) -> None:
        super().__init__()
        self.enabled = enabled
        self._path = path

    def append_string(self, string: str) -> None:
        if self.enabled:
            super().append_string(string)

    def load_history_strings(self) -> Iterable[str]:
        return reversed(self._lines()) if self.enabled else ()

    def store_string(self, string: str) -> None:
        added = [line for line in string.split("\n") if line.strip()]
        lines = [*self._lines(), *added][-ENTRIES:]
        try:
            self._replace("".join(f"{line}\n" for line in lines))
        except OSError:
            self.enabled = False

    def _lines(self) -> list[str]:
        try:
            text = self._path.read_text("utf-8", errors="replace")
        except OSError:
            return []
        return [line for line in text.split("\n") if line.strip()][-ENTRIES:]

    def _replace(self, text: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix="history-")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
            Path(name).replace(self._path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
