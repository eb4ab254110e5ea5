"""Answering a conversation. This file is the map: every step of a request is one line of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from pyollama.chat.interface import Turn
from pyollama.runtime.pool import ModelPool
from pyollama.service.answering import Answering
from pyollama.service.checks import check_media, check_task, check_wanted, think_value
from pyollama.service.library import Resolver, find_to_run, find_to_unload
from pyollama.service.options import merge
from pyollama.service.texts import TextSides
from pyollama.store.model import StoredModel
from pyollama.types import AnswerEvent, ChatRequest, Done, Message, Rendered


class ChatService:
    """Continues conversations with stored models."""

    def __init__(self, store: Resolver, pool: ModelPool, texts: TextSides) -> None:
        self._store = store
        self._pool = pool
        self._texts = texts

    async def answer(self, request: ChatRequest) -> AsyncGenerator[AnswerEvent, None]:
        """Pieces of the answer as they are written; the last event is its end.

        Without messages the model is only loaded, or with a ``keep_alive`` of 0 unloaded. Closing
        the iterator aborts the answer.
        """
        started = time.monotonic_ns()
        if not request.messages and request.keep_alive == 0:
            running = [entry.model for entry in self._pool.ps()]
            self._pool.expire(await find_to_unload(self._store, request.model, running))
            yield Done(reason="unload")
            return
        model = await find_to_run(self._store, request.model)
        turn = self._turn(model, request)
        options = merge(model.params, request.options)
        async with self._pool.lease(model, options.load, request.keep_alive) as loaded:
            ready = time.monotonic_ns()
            if not request.messages:
                yield Done(reason="load")
                return
            side = await self._texts.of(model)
            job = Answering(loaded.engine, loaded.n_ctx, side, request, options, started, ready)
            fitted = await asyncio.to_thread(job.room.chat, turn)
            if request.render_only:
                yield Rendered(fitted.prompt.text, len(fitted.prompt.images))
                return
            async with aclosing(job.events(fitted)) as events:
                async for event in events:
                    yield event

    def _turn(self, model: StoredModel, request: ChatRequest) -> Turn:
        """What the model is asked; refused if it cannot do that."""
        can = self._texts.capabilities(model)
        check_task("chat", request.model, can)
        think = think_value(request.model, request, can)
        check_wanted(model, can, ["tools"] if request.tools else [])
        check_media(model, request.messages)
        return Turn(conversation(model, request.messages), request.tools, think, request.format)


def conversation(model: StoredModel, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The model's own opening, then ``messages``, unless they bring a system text of their own."""
    system: tuple[Message, ...] = ()
    if model.system and (not messages or messages[0].role != "system"):
        system = (Message("system", model.system),)
    return (*system, *model.messages, *messages)
