"""The connection that one stream is written to, which is never silent for long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Send

QUIET = 8.0
"""Seconds without anything sent after which something is: proxies and clients often give a silent
connection up after ten or more."""


class Wire:
    """Writes with ``send``; before the first piece, ``start`` sends status and headers.

    Whenever nothing was written for so long, ``quiet`` is.
    """

    def __init__(self, start: Callable[[], Awaitable[None]], send: Send, quiet: bytes) -> None:
        self._start = start
        self._send = send
        self._quiet = quiet
        self._interval = QUIET
        self._order = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._head_is_out = False
        self._beat: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(self._interval, self._tick)
        self.started = False

    async def write(self, piece: bytes) -> None:
        if self._head_is_out and not self._order.locked():  # the order of whole pieces is free
            self._last = self._loop.time()
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        else:
            await self._put(piece, more=True)

    async def end(self) -> None:
        await self.still()
        await self._put(b"", more=False)

    async def still(self) -> None:
        """Nothing is sent from here on but what is written; then ``started`` does not change."""
        self._timer.cancel()
        beat, self._beat = self._beat, None
        if beat is not None:
            await beat

    async def _put(self, piece: bytes, *, more: bool) -> None:
        async with self._order:
            self.started = True
            if not self._head_is_out:
                self._head_is_out = True
                await self._start()
            self._last = self._loop.time()
            await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    def _tick(self) -> None:
        silent = self._loop.time() - self._last
        beating = self._beat is not None and not self._beat.done()
        if silent >= self._interval and not beating and not self._order.locked():
            silent = 0.0
            self.started = True  # now, so that nobody decides otherwise before the task runs
            self._beat = self._loop.create_task(self.write(self._quiet))
        self._timer = self._loop.call_later(max(self._interval - silent, 0.001), self._tick)
