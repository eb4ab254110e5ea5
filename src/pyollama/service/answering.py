"""From a rendered prompt to the events of an answer, on a leased engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from pyollama.chat.interface import Prompt
from pyollama.chat.prompt import prompt_tokens
from pyollama.engine.interface import EngineLike
from pyollama.service.fitting import FittedPrompt, Room
from pyollama.service.generation import Generation, next_id
from pyollama.service.options import Options
from pyollama.service.texts import TextSide
from pyollama.types import (
    AnswerEvent,
    Done,
    GenerateRequest,
    GenerationOptions,
    SamplingParams,
)

#: Architectures whose context cannot be shifted without harm.
_NO_SHIFT = frozenset({"deepseek2"})


@dataclass(frozen=True, slots=True)
class Answering:
    """One request that has its engine. ``started`` and ``ready`` are monotonic nanoseconds.

    ``n_ctx`` is the context of this request, which may be less than the engine's.
    ``continuable`` asks for the tokens of prompt and answer at the end.
    """

    engine: EngineLike
    n_ctx: int
    side: TextSide
    request: GenerationOptions
    options: Options
    started: int
    ready: int
    continuable: bool = False

    @property
    def shift(self) -> bool:
        """Whether a full context drops its older half instead of ending the answer."""
        return self.room.shift

    @property
    def room(self) -> Room:
        return room_of(
            self.side, self.n_ctx, self.request, self.options, self.engine.info.can_shift
        )

    async def events(self, fitted: FittedPrompt) -> AsyncGenerator[AnswerEvent, None]:
        """The answer; the model may think freely before what ``format`` asks for begins."""
        generation = self._generation(fitted)
        later = fitted.prompt.constrain_later
        thinking: list[str] = []
        thought = 0
        async with aclosing(generation.deltas()) as deltas:
            async for delta in deltas:
                if later and delta.content:
                    break
                thinking.append(delta.thinking)
                yield delta
        if later and generation.finished is None:
            thought = generation.thinking_tokens
            fitted = await self._after_thinking(fitted, "".join(thinking))
            generation = self._generation(fitted)
            async with aclosing(generation.deltas()) as deltas:
                async for delta in deltas:
                    yield delta
        yield await self._done(fitted, generation, thought)

    async def _after_thinking(self, fitted: FittedPrompt, thinking: str) -> FittedPrompt:
        prompt = self.side.format.after_thinking(fitted.turn, fitted.prompt, thinking)
        tokens = await asyncio.to_thread(prompt_tokens, prompt.text, self.side.vocabulary)
        return FittedPrompt(prompt, tokens, fitted.turn, fitted.truncated)

    def _generation(self, fitted: FittedPrompt) -> Generation:
        return Generation(
            engine=self.engine,
            request=self._engine_request(fitted),
            parser=fitted.prompt.parser,
            every_chunk=self.continuable,
            stop_loops=not self.side.format.native,
        )

    def _engine_request(self, fitted: FittedPrompt) -> GenerateRequest:
        request, options, prompt = self.request, self.options, fitted.prompt
        return GenerateRequest(
            id=next_id(),
            tokens=fitted.tokens,
            sampling=_with_grammar(options.sampling, prompt),
            max_tokens=options.max_tokens(self.n_ctx),
            stop=(*options.stop, *prompt.stops),
            n_ctx=self.n_ctx,
            n_keep=self.n_keep(len(fitted.tokens)),
            shift=self.shift,
            logprobs=request.top_logprobs if request.logprobs else None,
            preserved_tokens=self.side.preserved(prompt),
            max_draft=max(options.draft_num_predict, -1),
            priority=request.priority,
            key=request.key,
            adapters=options.adapters,
        )

    def n_keep(self, prompt_tokens: int) -> int:
        """How many tokens at the front a context shift leaves alone."""
        if self.options.num_keep < 0:
            return prompt_tokens
        return min(self.options.num_keep + self.side.vocabulary.add_bos, prompt_tokens)

    async def _done(self, fitted: FittedPrompt, generation: Generation, thought: int) -> Done:
        """``thought`` tokens were written by a generation before this one."""
        finished = generation.end()
        thought += generation.thinking_tokens
        context: tuple[int, ...] = ()
        if self.continuable:
            text = fitted.prompt.text + "".join(generation.output)
            context = tuple(await asyncio.to_thread(self.side.tokens, text))
        return Done(
            reason="length" if finished.reason == "length" else "stop",
            tail=generation.tail,
            usage=msgspec.structs.replace(finished.usage, thinking_tokens=thought),
            total_duration=time.monotonic_ns() - self.started,
            load_duration=self.ready - self.started,
            context=context,
            truncated=fitted.truncated,
            shifted=generation.shifted,
        )


def room_of(
    side: TextSide, n_ctx: int, request: GenerationOptions, options: Options, can_shift: bool
) -> Room:
    """The room of ``request`` in a context of ``n_ctx`` tokens."""
    shift = request.shift
    if shift is None:
        shift = side.model.architecture not in _NO_SHIFT
    return Room(side, n_ctx, options.num_keep, shift and can_shift, request.truncate)


def _with_grammar(sampling: SamplingParams, prompt: Prompt) -> SamplingParams:
    if prompt.grammar is None:
        return sampling
    return msgspec.structs.replace(sampling, grammar=prompt.grammar)
