"""One prompt being answered by an engine: token events in, pieces of an answer out."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from pyollama.chat.interface import OutputParser
from pyollama.engine.interface import EngineLike
from pyollama.errors import Aborted, EngineError
from pyollama.types import ContextShifted, Delta, Finished, GenerateRequest, Tokens, Usage

#: An answer that has said the same so often in a row will not end by itself.
MOST_REPEATS = 30

_NOTHING = Delta()
_ids = itertools.count(1)


def next_id() -> str:
    """An id for an engine request, unique in this process."""
    return f"r{next(_ids)}"


@dataclass(slots=True)
class Generation:
    """A run of ``engine`` over ``request``, read by ``parser``.

    Closing the iterator of :meth:`deltas` aborts the run. Once it is exhausted, ``finished`` says
    how it ended, ``tail`` holds what the parser released only then, and ``shifted`` counts the
    tokens that the engine dropped to make room in the context. ``thinking_tokens`` counts with the
    markup of the thinking. ``every_chunk`` asks for a
    piece per chunk of output even while the parser holds its text back; ``stop_loops`` ends an
    answer that only repeats itself.
    """

    engine: EngineLike
    request: GenerateRequest
    parser: OutputParser
    every_chunk: bool = False
    stop_loops: bool = False
    output: list[str] = field(default_factory=list)
    tail: Delta = _NOTHING
    finished: Finished | None = None
    shifted: int = 0
    thinking_tokens: int = 0
    _undecided: int = 0

    async def deltas(self) -> AsyncGenerator[Delta, None]:
        started = first = time.monotonic_ns()
        repeats = Repeats()
        count = 0
        async with aclosing(self.engine.generate(self.request)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    self.finished = event
                elif isinstance(event, ContextShifted):
                    self.shifted += event.discarded
                else:
                    if not self.output:
                        first = time.monotonic_ns()
                    count += len(event.tokens)
                    self.output.append(event.text)
                    delta = self.parser.feed(event.text)
                    self._note_thinking(delta, len(event.tokens))
                    if event.logprobs or self.every_chunk or delta != _NOTHING:
                        yield _with_logprobs(delta, event)
                    if self.stop_loops and repeats.too_many(event.text):
                        self.finished = self._cut_short(count, first - started, first)
                        break
        self.tail = self.parser.flush()

    def end(self) -> Finished:
        """How the run ended, after :meth:`deltas` is exhausted."""
        if self.finished is None:
            raise EngineError("the engine ended an answer without saying how")
        if self.finished.reason == "aborted":
            raise Aborted("request canceled")
        return self.finished

    def _note_thinking(self, delta: Delta, tokens: int) -> None:
        """Tokens that the parser holds back belong to what it lets out next."""
        self._undecided += tokens
        if delta.thinking:
            self.thinking_tokens += self._undecided
        if delta.thinking or delta.content or delta.tool_calls:
            self._undecided = 0

    def _cut_short(self, tokens: int, prompt_duration: int, first: int) -> Finished:
        usage = Usage(
            prompt_tokens=len(self.request.tokens),
            completion_tokens=tokens,
            prompt_duration=prompt_duration,
            eval_duration=time.monotonic_ns() - first,
        )
        return Finished(self.request.id, "stop", usage)


class Repeats:
    """Counts how often in a row a chunk says the same, blanks around it aside."""

    def __init__(self) -> None:
        self._last = ""
        self._count = 0

    def too_many(self, text: str) -> bool:
        text = text.strip()
        self._count = self._count + 1 if text == self._last else 0
        self._last = text
        return self._count >= MOST_REPEATS


def _with_logprobs(delta: Delta, event: Tokens) -> Delta:
    if not event.logprobs:
        return delta
    return Delta(delta.content, delta.thinking, delta.tool_calls, event.logprobs)
