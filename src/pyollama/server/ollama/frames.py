"""Answers in Ollama's words: events to JSON objects.

A stream writes one object per event, and most of an object is the same every time, so it is
encoded once per answer; only the text and the time are written per token.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import ClassVar

from pyollama.server.parts import debug_info, joined, logprob
from pyollama.server.streaming import encode_json
from pyollama.types import (
    JSON,
    AnswerEvent,
    Delta,
    Done,
    Progress,
    Rendered,
    ToolCall,
    Truncated,
    Usage,
)


class AnswerFrames(ABC):
    """Base of the two answers. A subclass says where the text of a :class:`Delta` goes.

    ``_around_text`` is what stands between the time and a piece of plain text, and what follows.
    ``with_usage`` ends the answer with more than Ollama counts.
    """

    _around_text: ClassVar[tuple[bytes, bytes]]

    def __init__(self, model: str, *, with_usage: bool = False) -> None:
        self._model = model
        self._with_usage = with_usage
        self._head = b'{"model":' + encode_json(model) + b',"created_at":"'
        self._clock = Clock()

    def stands_alone(self, event: AnswerEvent) -> bool:
        """Loading and unloading write nothing, and a rendered prompt is no answer."""
        return isinstance(event, Rendered) or (
            isinstance(event, Done) and event.reason in ("load", "unload")
        )

    def frame(self, event: AnswerEvent) -> bytes:
        if isinstance(event, Delta):
            if event.thinking or event.tool_calls or event.logprobs:
                return self._object(self.part(event), {"done": False}, event)
            before, after = self._around_text
            text = encode_json(event.content)
            return b"".join((self._head, self._clock.now(), before, text, after))
        return self._end(event, event.tail if isinstance(event, Done) else Delta())

    def whole(self, events: list[AnswerEvent]) -> bytes:
        end = events[-1]
        deltas = [event for event in events if isinstance(event, Delta)]
        if isinstance(end, Done):
            deltas.append(end.tail)
        return self._end(end, joined(deltas))

    @abstractmethod
    def part(self, delta: Delta) -> JSON:
        """The answer itself: the keys that hold ``delta``."""

    @abstractmethod
    def blank(self) -> JSON:
        """The same keys where there is no answer."""

    @abstractmethod
    def trailer(self, state: JSON, output: Delta, end: Done | None) -> JSON:
        """What follows the answer, in the order of the dialect."""

    def _metrics(self, end: Done) -> JSON:
        return metrics(end) | ({"usage": usage(end.usage)} if self._with_usage else {})

    def _end(self, end: AnswerEvent, output: Delta) -> bytes:
        if isinstance(end, Rendered):
            return self._object(self.blank(), {"done": False} | debug_info(end), Delta())
        if isinstance(end, Delta):
            raise TypeError("an answer must end with Done or Rendered")
        return self._object(
            self.part(output), {"done": True, "done_reason": end.reason}, output, end
        )

    def _object(self, part: JSON, state: JSON, output: Delta, end: Done | None = None) -> bytes:
        head: JSON = {"model": self._model, "created_at": self._clock.now().decode()}
        return encode_json(head | part | self.trailer(state, output, end))


class GenerateFrames(AnswerFrames):
    """Answers of ``/api/generate``."""

    _around_text = (b'","response":', b',"done":false}')

    def part(self, delta: Delta) -> JSON:
        part: JSON = {"response": delta.content}
        if delta.thinking:
            part["thinking"] = delta.thinking
        return part

    def blank(self) -> JSON:
        return {"response": ""}

    def trailer(self, state: JSON, output: Delta, end: Done | None) -> JSON:
        trailer = dict(state)
        if end is not None:
            if end.context:
                trailer["context"] = end.context
            trailer |= self._metrics(end)
        if output.tool_calls:
            trailer["tool_calls"] = tool_calls(output.tool_calls)
        return trailer | logprobs(output)


class ChatFrames(AnswerFrames):
    """Answers of ``/api/chat``."""

    _around_text = (b'","message":{"role":"assistant","content":', b'},"done":false}')

    def part(self, delta: Delta) -> JSON:
        message: JSON = {"role": "assistant", "content": delta.content}
        if delta.thinking:
            message["thinking"] = delta.thinking
        if delta.tool_calls:
            message["tool_calls"] = tool_calls(delta.tool_calls)
        return {"message": message}

    def blank(self) -> JSON:
        return {"message": {"role": "", "content": ""}}

    def trailer(self, state: JSON, output: Delta, end: Done | None) -> JSON:
        return state | logprobs(output) | (self._metrics(end) if end is not None else {})


class ProgressFrames:
    """Answers of the long tasks on the store."""

    def stands_alone(self, event: Progress) -> bool:
        return False

    def frame(self, event: Progress) -> bytes:
        line: JSON = {"status": event.status}
        if event.digest:
            line["digest"] = event.digest
        if event.total:
            line["total"] = event.total
        if event.completed:
            line["completed"] = event.completed
        return encode_json(line)

    def whole(self, events: list[Progress]) -> bytes:
        return self.frame(events[-1])


class Clock:
    """The time as RFC 3339 with nanoseconds in UTC; the part down to the second is kept."""

    def __init__(self) -> None:
        self._second = ""
        self._text = b""

    def now(self) -> bytes:
        digits = str(time.time_ns())
        second = digits[:-9]
        if second != self._second:
            self._second = second
            moment = datetime.fromtimestamp(int(second), UTC)
            self._text = moment.strftime("%Y-%m-%dT%H:%M:%S.%%bZ").encode()
        return self._text % digits[-9:].encode()


def metrics(end: Done) -> JSON:
    """Durations in nanoseconds and token counts; what is zero is left out.

    What had to be dropped so that all fits into the context is said last, where Ollama is silent.
    """
    usage = end.usage
    values = {
        "total_duration": end.total_duration,
        "load_duration": end.load_duration,
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_eval_duration": usage.prompt_duration,
        "eval_count": usage.completion_tokens,
        "eval_duration": usage.eval_duration,
    }
    counted: JSON = {name: value for name, value in values.items() if value}
    if end.truncated is not None:
        counted["truncated"] = truncated(end.truncated)
    if end.shifted:
        counted["shifted"] = end.shifted
    return counted


def usage(used: Usage) -> JSON:
    """Everything that is counted; the duration is nanoseconds."""
    return {
        "prompt_tokens": used.prompt_tokens,
        "cached_tokens": used.cached_tokens,
        "completion_tokens": used.completion_tokens,
        "thinking_tokens": used.thinking_tokens,
        "draft_tokens": used.draft_tokens,
        "accepted_draft_tokens": used.accepted_tokens,
        "queue_duration": used.queue_duration,
    }


def truncated(what: Truncated) -> JSON:
    return {"dropped": what.dropped, "kept": what.kept}


def tool_calls(calls: Iterable[ToolCall]) -> list[JSON]:
    return [
        ({"id": call.id} if call.id else {})
        | {"function": {"index": call.index, "name": call.name, "arguments": call.arguments}}
        for call in calls
    ]


def logprobs(output: Delta) -> JSON:
    if not output.logprobs:
        return {}
    return {"logprobs": [logprob(entry) for entry in output.logprobs]}
