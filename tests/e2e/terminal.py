"""A terminal with a program in it: tmux, so that what is seen can be read back."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

_PATIENCE = 120.0
"""Seconds until something must be wrong; a slow machine needs a few."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """One tmux server with one window; ``socket`` is where it listens."""

    socket: Path

    def type(self, text: str) -> None:
        """Type ``text`` and press Enter."""
        self._tmux("send-keys", "-l", "--", text)
        self.press("Enter")

    def press(self, *keys: str) -> None:
        """Keys by tmux's names: ``Enter``, ``Up``, ``C-c``."""
        self._tmux("send-keys", *keys)

    def paste(self, text: str) -> None:
        """Paste as terminals do, between the marks of a paste."""
        self._tmux("set-buffer", "--", text)
        self._tmux("paste-buffer", "-p")

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self, *, styled: bool = False) -> str:
        """What is on the screen, without blanks at the ends of lines."""
        shown = self._tmux("capture-pane", "-p", *(["-e"] if styled else []))
        return "\n".join(line.rstrip() for line in shown.split("\n")).rstrip()

    def wait_for(self, pattern: str) -> str:
        """The screen, as soon as ``pattern`` is found on it."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            screen = self.screen()
            if re.search(pattern, screen, re.MULTILINE):
                return screen
            time.sleep(0.05)
        raise AssertionError(f"{pattern} does not appear on the screen:\n{self.screen()}")

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self.socket), *arguments],
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        return done.stdout


@contextmanager
def terminal(
    folder: Path,
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    columns: int = 80,
    rows: int = 30,
) -> Iterator[Terminal]:
    """Run ``command`` in a terminal of this size; when it has ended, ``STATUS n`` is shown."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    window = Terminal(folder / f"tmux-{uuid4().hex[:8]}")
    script = f"{shlex.join(command)}; echo STATUS $?; exec cat"
    size = ["-x", str(columns), "-y", str(rows)]
    kept = {name: value for name, value in environment.items() if name != "TMUX"}
    subprocess.run(
        ["tmux", "-S", str(window.socket), "-f", "/dev/null", "new-session", "-d", *size, script],
        env=kept | {"TERM": "screen-256color", "SHELL": "/bin/sh", "LC_ALL": "C.UTF-8"},
        check=True,
    )
    try:
        yield window
    finally:
        window._tmux("kill-server")
