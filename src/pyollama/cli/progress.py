"""The progress of a long task on the server, shown on stderr."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

import click

JSON = dict[str, Any]


class ProgressDisplay:
    """A spinner for what has no measure, a bar for what has; plain lines without a terminal."""

    def __init__(self) -> None:
        self._display = _Animated() if sys.stderr.isatty() else _Plain()

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
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

        console = Console(stderr=True)
        columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, console=console)
        self._spinner = console.status("")
        self._last = ""
        self._task = self._progress.add_task("", visible=False)

    def show(self, status: str, completed: int, total: int | None) -> None:
        if total:
            self._spinner.stop()
            if status != self._last:
                self._task = self._progress.add_task(status)
                self._progress.start()
            self._progress.update(self._task, completed=completed, total=total)
        elif status != self._last:
            self._progress.stop()
            self._spinner.update(status)
            self._spinner.start()
        self._last = status

    def stop(self) -> None:
        self._spinner.stop()
        self._progress.stop()
