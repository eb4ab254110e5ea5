"""Answering a request. This file is the map: every step of a request is one line of it."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from pyollama.chat.interface import Turn
from pyollama.runtime.pool import ModelPool
from pyollama.service.active import ActiveRequest, ActiveRequests, Kind
from pyollama.service.answering import Answering, room_of
from pyollama.service.fitting import FittedPrompt, Room
from pyollama.service.library import Resolver, find_to_run, find_to_unload, with_draft
from pyollama.service.options import merge
from pyollama.service.texts import TextSide, TextSides
from pyollama.store.model import StoredModel
from pyollama.types import AnswerEvent, Done, GenerationOptions, Rendered

R = TypeVar("R", bound=GenerationOptions)


@dataclass(frozen=True, slots=True)
class ReadyPrompt:
    """A prompt as it fits into a context of ``n_ctx`` tokens."""

    fitted: FittedPrompt
    n_ctx: int


class AnswerService(ABC, Generic[R]):
    """Answers one kind of request with stored models; a subclass says what is particular to it."""

    kind: ClassVar[Kind]

    def __init__(
        self, store: Resolver, pool: ModelPool, texts: TextSides, requests: ActiveRequests
    ) -> None:
        self._store = store
        self._pool = pool
        self._texts = texts
        self._requests = requests

    def answer(self, request: R) -> AsyncGenerator[AnswerEvent, None]:
        """Pieces of the answer as they are written; the last event is its end.

        A request that asks nothing only loads the model, or with a ``keep_alive`` of 0 unloads it.
        Closing the iterator aborts the answer.
        """
        return self._requests.follow(
            self.kind, request, lambda active: self._answer(request, active)
        )

    async def prompt(self, request: R) -> ReadyPrompt:
        """The prompt that :meth:`answer` would have the model read now; nothing is loaded."""
        model = await find_to_run(self._store, request.model, files=request.files)
        turn = self._turn(model, request)
        options = merge(model.params, request.options)
        n_ctx, info = self._pool.context_of(model, options.load)
        side = await self._side(model, request)
        room = room_of(side, n_ctx, request, options, info is None or info.can_shift)
        return ReadyPrompt(await asyncio.to_thread(self._fitted, room, request, turn), n_ctx)

    async def _answer(self, request: R, active: ActiveRequest) -> AsyncGenerator[AnswerEvent, None]:
        started = time.monotonic_ns()
        asks = self._asks(request)
        if not asks and request.keep_alive == 0:
            running = [entry.model for entry in self._pool.ps()]
            gone = await find_to_unload(self._store, request.model, running, files=request.files)
            self._pool.expire(gone)
            yield Done(reason="unload")
            return
        model = await find_to_run(self._store, request.model, files=request.files)
        turn = self._turn(model, request)
        options = merge(model.params, request.options)
        model = await with_draft(self._store, model, options.draft_model)
        async with self._pool.lease(model, options.load, request.keep_alive) as loaded:
            ready = time.monotonic_ns()
            active.state = "reading"
            if not asks:
                yield Done(reason="load")
                return
            side = await self._side(model, request)
            job = Answering(
                loaded.engine,
                loaded.n_ctx,
                side,
                request,
                options,
                started,
                ready,
                continuable=self._continuable(request),
            )
            fitted = await asyncio.to_thread(self._fitted, job.room, request, turn)
            if request.render_only:
                yield Rendered(fitted.prompt.text, len(fitted.prompt.images))
                return
            async with aclosing(job.events(fitted)) as events:
                async for event in events:
                    yield event

    @abstractmethod
    def _asks(self, request: R) -> bool:
        """Whether there is anything to answer."""

    @abstractmethod
    def _turn(self, model: StoredModel, request: R) -> Turn:
        """What the model is asked; refused if it cannot do that."""

    @abstractmethod
    def _fitted(self, room: Room, request: R, turn: Turn) -> FittedPrompt:
        """The prompt, cut so that it fits; runs in a thread."""

    async def _side(self, model: StoredModel, request: R) -> TextSide:
        """How texts of this request are rendered and tokenised."""
        return await self._texts.of(model)

    def _continuable(self, request: R) -> bool:
        """Whether the tokens of prompt and answer are wanted at the end."""
        return False
