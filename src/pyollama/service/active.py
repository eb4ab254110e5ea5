"""The requests that are being answered: who asks what, how far it is, and how to end it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Literal

from pyollama.errors import Aborted, NotFound
from pyollama.types import AnswerEvent, Delta, GenerationOptions

Kind = Literal["chat", "generate"]
State = Literal["loading", "reading", "writing"]
Events = AsyncGenerator[AnswerEvent, None]


@dataclass(slots=True, eq=False)
class ActiveRequest:
    """``started`` is seconds since the epoch; ``pieces`` counts what was written so far.

    ``state``: waiting for the model to be in memory, for the prompt to be computed, or writing.
    """

    id: str
    kind: Kind
    asked: GenerationOptions
    started: float = field(default_factory=time.time)
    state: State = "loading"
    pieces: int = 0
    canceled: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _events: Events | None = None
    _working: asyncio.Task[None] | None = None

    async def cancel(self) -> None:
        """Free what the request holds; whoever reads the answer gets :class:`Aborted`."""
        if self.canceled:
            return
        self.canceled = True
        if self._working is not None:
            self._working.cancel()
            await self.ended.wait()
        elif self._events is not None:  # whoever reads does not take the next piece
            await self._events.aclose()

    async def next(self, events: Events) -> AnswerEvent | None:
        """The next one of ``events``, ``None`` at their end."""
        self._events = events
        # The task that reads is cancelled rather than one of our own made for every piece.
        self._working = task = asyncio.current_task()
        try:
            event = await anext(events, None)
        except asyncio.CancelledError:
            if not self.canceled or task is None or task.uncancel() > 0:
                raise
            event = None
        finally:
            self._working = None
        if event is None and self.canceled:
            raise Aborted("request canceled")
        if isinstance(event, Delta):
            self.state = "writing"
            self.pieces += 1
        return event


class ActiveRequests:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._active: dict[str, ActiveRequest] = {}
        self._numbers = itertools.count(1)

    def all(self) -> list[ActiveRequest]:
        """The oldest first."""
        return list(self._active.values())

    async def cancel(self, request_id: str) -> None:
        """Raises :class:`NotFound` for a request that is not there, or not any more."""
        active = self._active.get(request_id)
        if active is None:
            raise NotFound(f"no request '{request_id}' is being answered", id=request_id)
        await active.cancel()

    async def follow(
        self,
        kind: Kind,
        request: GenerationOptions,
        answer: Callable[[ActiveRequest], Events],
    ) -> Events:
        """The events of ``answer``; until they end, the request is listed."""
        active = ActiveRequest(self._free_id(request.id), kind, request)
        self._active[active.id] = active
        events = answer(active)
        try:
            while (event := await active.next(events)) is not None:
                yield event
        finally:
            try:
                await events.aclose()
            finally:
                del self._active[active.id]
                active.ended.set()

    def _free_id(self, wanted: str) -> str:
        """One HTTP request may ask for several answers."""
        if wanted and wanted not in self._active:
            return wanted
        return f"{wanted or 'request'}-{next(self._numbers)}"
