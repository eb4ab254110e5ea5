"""Continuing one prompt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from pyollama.chat.interface import Turn
from pyollama.runtime.pool import ModelPool
from pyollama.service.answering import Answering
from pyollama.service.checks import check_media, check_task, check_wanted, think_value
from pyollama.service.fitting import FittedPrompt, Room
from pyollama.service.library import Resolver, find_to_run, find_to_unload
from pyollama.service.options import merge
from pyollama.service.texts import TextSide, TextSides
from pyollama.store.model import StoredModel
from pyollama.types import AnswerEvent, CompletionRequest, Done, Message, Rendered


class GenerateService:
    """Completes prompts with stored models."""

    def __init__(self, store: Resolver, pool: ModelPool, texts: TextSides) -> None:
        self._store = store
        self._pool = pool
        self._texts = texts

    async def answer(self, request: CompletionRequest) -> AsyncGenerator[AnswerEvent, None]:
        """Pieces of the text as they are written; the last event is its end.

        Without a prompt the model is only loaded, or with a ``keep_alive`` of 0 unloaded. Closing
        the iterator aborts the answer.
        """
        started = time.monotonic_ns()
        if not request.prompt and request.keep_alive == 0:
            running = [entry.model for entry in self._pool.ps()]
            self._pool.expire(await find_to_unload(self._store, request.model, running))
            yield Done(reason="unload")
            return
        model = await find_to_run(self._store, request.model)
        turn = self._turn(model, request)
        options = merge(model.params, request.options)
        async with self._pool.lease(model, options.load, request.keep_alive) as loaded:
            ready = time.monotonic_ns()
            if not request.prompt:
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
                continuable=not request.raw,
            )
            fitted = await asyncio.to_thread(_fitted, job.room, request, turn)
            if request.render_only:
                yield Rendered(fitted.prompt.text, len(fitted.prompt.images))
                return
            async with aclosing(job.events(fitted)) as events:
                async for event in events:
                    yield event

    async def _side(self, model: StoredModel, request: CompletionRequest) -> TextSide:
        if request.template is None:
            return await self._texts.of(model)
        return await self._texts.with_template(model, request.template)

    def _turn(self, model: StoredModel, request: CompletionRequest) -> Turn:
        """What the model is asked; refused if it cannot do that."""
        can = self._texts.capabilities(model)
        check_task("generate", request.model, can)
        think = think_value(request.model, request, can)
        check_wanted(model, can, ["insert"] if request.suffix else [])
        messages = _messages(model, request)
        check_media(model, messages)
        return Turn(messages, (), think, request.format)


def _messages(model: StoredModel, request: CompletionRequest) -> tuple[Message, ...]:
    """The prompt as a conversation. One that goes on has had the model's opening before."""
    text = request.system or model.system
    system = (Message("system", text),) if text else ()
    opening = model.messages if request.context is None else ()
    return (*system, *opening, Message("user", request.prompt, images=request.images))


def _fitted(room: Room, request: CompletionRequest, turn: Turn) -> FittedPrompt:
    side = room.side
    if request.raw:
        return room.prompt(turn, side.format.raw(request.prompt, turn))
    if request.suffix:
        prompt = side.format.insert(request.prompt, request.suffix, turn)
        return room.prompt(turn, prompt)
    before = side.vocabulary.detokenize(request.context) if request.context else ""
    return room.completion(turn, before)
