"""What comes back: whole answers, and streams that end in one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyollama.errors import EngineError
from pyollama.llm.portal import Portal
from pyollama.types import FinishReason, Message, TokenLogprob, Usage

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Completion:
    """``tokens`` are those whose text is shown. ``stop`` is the stop text that ended the answer."""

    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage
    stop: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """``message`` can be appended to the conversation as it is."""

    message: Message
    finish_reason: FinishReason
    usage: Usage
    logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def text(self) -> str:
        return self.message.content


@dataclass(frozen=True, slots=True)
class Score:
    """``logprobs`` has one entry for each of ``tokens`` but the first, which follows nothing."""

    tokens: tuple[int, ...]
    logprobs: NDArray[np.float32]
    usage: Usage

    @property
    def perplexity(self) -> float:
        """How many tokens the model hesitated between, on average; 1.0 for a single token."""
        return float(np.exp(-self.logprobs.mean())) if len(self.logprobs) else 1.0


@dataclass(frozen=True, slots=True)
class Last(Generic[R]):
    """The last item of a generator that a stream is made of: the whole answer."""

    answer: R


class AsyncStream(Generic[P, R]):
    """Pieces of an answer as they are written. Leaving it early ends the generation."""

    def __init__(self, items: AsyncGenerator[P | Last[R], None]) -> None:
        self._items = items
        self._last: Last[R] | None = None

    def __aiter__(self) -> AsyncIterator[P]:
        return self

    async def __anext__(self) -> P:
        item = await anext(self._items)
        if not isinstance(item, Last):
            return item
        self._last = item
        await self._items.aclose()
        raise StopAsyncIteration

    async def result(self) -> R:
        """The whole answer; reads what is left of the stream."""
        async for _ in self:
            pass
        if self._last is None:
            raise EngineError("the stream was closed before its end")
        return self._last.answer

    async def aclose(self) -> None:
        await self._items.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class Stream(Generic[P, R]):
    """The same for a plain ``for`` loop."""

    def __init__(self, stream: AsyncStream[P, R], portal: Portal) -> None:
        self._stream = stream
        self._portal = portal

    def __iter__(self) -> Iterator[P]:
        return self

    def __next__(self) -> P:
        try:
            return self._portal.run(self._stream.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def result(self) -> R:
        """The whole answer; reads what is left of the stream."""
        return self._portal.run(self._stream.result())

    def close(self) -> None:
        self._portal.run(self._stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
