"""The events of one request that its reader has not taken yet."""

from __future__ import annotations

import asyncio
from collections import deque

from pyollama.errors import PyollamaError
from pyollama.types import EngineEvent, Tokens

_LONG = 256


class Backlog:
    """A queue with one reader that never blocks its writer.

    When the reader falls far behind, runs of :class:`Tokens` are joined into one event. So a slow
    client costs the text it has not read, not an object per token. The text itself is bounded by
    the request's own token limit.
    """

    def __init__(self, long: int = _LONG) -> None:
        self._events: deque[EngineEvent] = deque()
        self._error: PyollamaError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._long = long

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: EngineEvent) -> None:
        self._events.append(event)
        if len(self._events) > self._long:
            self._events = deque(_joined(self._events))
        self._wake()

    def fail(self, error: PyollamaError) -> None:
        """End the queue: ``next()`` raises ``error`` once the events are used up."""
        self._error = error
        self._wake()

    async def next(self) -> EngineEvent:
        while not self._events:
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._events.popleft()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _joined(events: deque[EngineEvent]) -> list[EngineEvent]:
    """``events`` with each run of neighbouring :class:`Tokens` made one."""
    result: list[EngineEvent] = []
    run: list[Tokens] = []
    for event in events:
        if isinstance(event, Tokens):
            run.append(event)
            continue
        result.extend(_join(run))
        run = []
        result.append(event)
    return [*result, *_join(run)]


def _join(run: list[Tokens]) -> list[Tokens]:
    if len(run) < 2:
        return run
    return [
        Tokens(
            id=run[0].id,
            text="".join(event.text for event in run),
            tokens=tuple(token for event in run for token in event.tokens),
            logprobs=tuple(entry for event in run for entry in event.logprobs),
        )
    ]
