"""Several answers at the same time.

They run as requests of their own. Those that begin alike share the prompt: the engine computes it
for one of them, and the others fork its KV cache.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from msgspec.structs import replace

from pyollama.types import AnswerEvent, Delta, Done

R = TypeVar("R")

Choice = tuple[int, AnswerEvent]
"""An event, and which of the answers it belongs to."""

_AHEAD = 64
"""How many events may wait to be taken before the answers wait themselves."""


async def several(
    ask: Callable[[R], AsyncGenerator[AnswerEvent, None]], requests: Sequence[R]
) -> AsyncGenerator[Choice, None]:
    """The events of all answers as they come. When one answer fails, the others are given up."""
    if len(requests) == 1:
        async with aclosing(ask(requests[0])) as events:
            async for event in events:
                yield 0, event
        return
    queue: asyncio.Queue[Choice | _Ended] = asyncio.Queue(_AHEAD)
    tasks = [
        asyncio.create_task(_follow(ask(request), index, queue))
        for index, request in enumerate(requests)
    ]
    try:
        running = len(tasks)
        while running:
            item = await queue.get()
            if not isinstance(item, _Ended):
                yield item
            elif item.error is not None:
                raise item.error
            else:
                running -= 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def best(answers: Sequence[list[AnswerEvent]], most: int) -> list[list[AnswerEvent]]:
    """The ``most`` of ``answers`` whose tokens were likeliest on average, the best one first."""
    return sorted(answers, key=_mean_logprob, reverse=True)[:most]


def _mean_logprob(events: list[AnswerEvent]) -> float:
    """An answer that says nothing comes last."""
    deltas = (event.tail if isinstance(event, Done) else event for event in events)
    found = [e.logprob for delta in deltas if isinstance(delta, Delta) for e in delta.logprobs]
    return sum(found) / len(found) if found else -math.inf


class _Ended:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


async def _follow(
    events: AsyncGenerator[AnswerEvent, None], index: int, queue: asyncio.Queue[Choice | _Ended]
) -> None:
    try:
        async with aclosing(events):
            async for event in events:
                await queue.put((index, event))
    except Exception as error:
        await queue.put(_Ended(error))
    else:
        await queue.put(_Ended())


async def one_call(
    ask: Callable[[R], AsyncGenerator[AnswerEvent, None]], request: R
) -> AsyncGenerator[AnswerEvent, None]:
    """The events of an answer with no tool call but the first one."""
    called = False
    async with aclosing(ask(request)) as events:
        async for event in events:
            delta = event.tail if isinstance(event, Done) else event
            if not isinstance(delta, Delta) or not delta.tool_calls:
                yield event
                continue
            calls = () if called else delta.tool_calls[:1]
            called = True
            kept = replace(delta, tool_calls=calls)
            yield replace(event, tail=kept) if isinstance(event, Done) else kept
