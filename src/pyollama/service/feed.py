"""The progress of one task, for everybody who wants to watch it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from pyollama.types import Progress


class Feed:
    """Belongs to one event loop. Whoever comes late sees the last word on each step so far."""

    def __init__(self) -> None:
        self._steps: list[Progress] = []
        self._error: BaseException | None = None
        self._ended = False
        self._news = asyncio.Event()

    def publish(self, progress: Progress) -> None:
        last = self._steps[-1] if self._steps else None
        if progress == last:
            return
        if last and (last.status, last.digest) == (progress.status, progress.digest):
            self._steps[-1] = progress
        else:
            self._steps.append(progress)
        self._wake()

    def end(self, error: BaseException | None) -> None:
        """Nothing more will come; ``error`` is what followers get to see."""
        self._error = error
        self._ended = True
        self._wake()

    async def follow(self) -> AsyncGenerator[Progress, None]:
        place, seen = 0, None
        while True:
            news = self._news
            while place < len(self._steps):
                if (progress := self._steps[place]) is not seen:
                    seen = progress
                    yield progress  # a later word on the same step may come meanwhile
                elif place + 1 < len(self._steps):
                    place += 1
                else:
                    break
            if news is not self._news:
                continue
            if self._error is not None:
                raise self._error
            if self._ended:
                return
            await news.wait()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
