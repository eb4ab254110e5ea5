"""The progress of a long task on the server, shown on stderr."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from pyollama.cli.bars import Bar, Spinner

if TYPE_CHECKING:
    from rich.text import Text

JSON = dict[str, Any]


class ProgressDisplay:
    """A spinner for what has no measure, a bar for what has; plain lines without a terminal."""

    def __init__(self) -> None:
        can_move = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._display = _Animated() if can_move else _Plain()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._display.stop()

    def show(self, progress: JSON) -> None:
        """One progress object of the server."""
        self._display.show(progress["status"], progress.get("completed", 0), progress.get("total"))


class _Plain:
    """Every status once, on a line of its own."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, status: str, completed: int, total: int | None) -> None:
        if status != self._last:
            click.echo(status, err=True)
            self._last = status

    def stop(self) -> None:
        """Nothing is left on the screen that would have to go."""


class _Animated:
    """A line per step, drawn again ten times per second."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True, highlight=False)
        self._lines: dict[str, Bar | Spinner] = {}
        self._live = Live(
            get_renderable=self._drawn,
            console=self._console,
            refresh_per_second=10,
            vertical_overflow="visible",
        )
        self._live.start()

    def show(self, status: str, completed: int, total: int | None) -> None:
        now = time.monotonic()
        key = status.rpartition(" ")[0] if status.endswith("%") else status
        line = self._lines.get(key)
        if line is None:
            for other in self._lines.values():
                other.ended = True
        if isinstance(line, Bar):
            line.update(completed, now)
        elif total and completed:  # the announcement of a layer is not drawn
            self._lines[key] = Bar(status, total, completed, now)
        elif not total:
            self._lines[key] = Spinner(status)

    def stop(self) -> None:
        for line in self._lines.values():
            line.ended = True
        self._live.stop()

    def _drawn(self) -> Text:
        from rich.text import Text

        now = time.monotonic()
        lines = (line.line(self._console.width, now) for line in list(self._lines.values()))
        return Text("\n".join(lines), no_wrap=True)
