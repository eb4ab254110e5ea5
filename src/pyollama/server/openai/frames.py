"""Answers in OpenAI's words: events of one or several answers to JSON objects.

Frames remember what they have written: OpenAI's first piece of an answer is not like the others,
and usage is that of all answers together.
"""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from typing import ClassVar

from pyollama.errors import PyollamaError
from pyollama.server.openai.errors import error_body
from pyollama.server.parts import debug_info, joined, logprob
from pyollama.server.streaming import encode_json, sse
from pyollama.service.choices import Choice
from pyollama.types import JSON, AnswerEvent, Delta, Done, Rendered, TokenLogprob, ToolCall

_END = sse(b"[DONE]")
_NOTHING = Delta()
FINGERPRINT = "fp_ollama"
_IDS = 999
"""How many ids of answers there are: as many as in Ollama."""


class AnswerFrames(ABC):
    """Base of the two kinds of answers, for ``count`` answers to prompts of ``per_prompt`` each.

    With ``include_usage`` the last chunk of a stream tells the usage.
    """

    _prefix: ClassVar[str]

    def __init__(
        self, model: str, count: int = 1, *, per_prompt: int = 0, include_usage: bool = False
    ) -> None:
        self._model = model
        self._running = count
        self._include_usage = include_usage
        self._usage = UsageSum(per_prompt or count)
        self._id = f"{self._prefix}-{secrets.randbelow(_IDS)}"
        self._created = int(time.time())

    def stands_alone(self, choice: Choice) -> bool:
        """A rendered prompt is no answer."""
        return isinstance(choice[1], Rendered)

    def frame(self, choice: Choice) -> bytes:
        index, event = choice
        if isinstance(event, Delta):
            return self._pieces(index, event)
        if not isinstance(event, Done):
            raise TypeError("a rendered prompt cannot be a part of a stream")
        self._usage.add(index, event)
        self._running -= 1
        last = self._last_piece(index, event.tail)
        return last + sse(self._chunk([self._finish(index, event)])) + self._end()

    def failure(self, error: PyollamaError) -> bytes:
        """Without the end mark, so that nobody takes the answer for complete."""
        return sse(error_body(error))

    def whole(self, choices: list[Choice]) -> bytes:
        answers: dict[int, list[AnswerEvent]] = {}
        for index, event in choices:
            answers.setdefault(index, []).append(event)
            if isinstance(event, Done):
                self._usage.add(index, event)
        shown = self._shown([answers[index] for index in sorted(answers)])
        objects = [
            self._answer(index, joined(_pieces_of(events)), events[-1])
            for index, events in enumerate(shown)
        ]
        rendered = [event for _, event in choices if isinstance(event, Rendered)]
        extra = debug_info(rendered[0]) if rendered else {}
        return encode_json(self._whole(objects, self._usage.json()) | extra)

    def _shown(self, answers: list[list[AnswerEvent]]) -> list[list[AnswerEvent]]:
        """Those of ``answers`` that go out."""
        return answers

    def _end(self) -> bytes:
        if self._running:
            return b""
        usage = sse(self._chunk([], self._usage.json())) if self._include_usage else b""
        return usage + _END

    @abstractmethod
    def _pieces(self, index: int, delta: Delta) -> bytes:
        """The chunks that say ``delta``."""

    @abstractmethod
    def _last_piece(self, index: int, tail: Delta) -> bytes:
        """The chunks before the one that ends an answer."""

    @abstractmethod
    def _finish(self, index: int, end: Done) -> JSON:
        """What ends an answer in a stream."""

    @abstractmethod
    def _chunk(self, choices: list[JSON], usage: JSON | None = None) -> bytes:
        """One object of a stream."""

    @abstractmethod
    def _answer(self, index: int, output: Delta, end: AnswerEvent) -> JSON:
        """A whole answer."""

    @abstractmethod
    def _whole(self, answers: list[JSON], usage: JSON) -> JSON:
        """All answers in one object."""


def _pieces_of(events: list[AnswerEvent]) -> list[Delta]:
    pieces = (event.tail if isinstance(event, Done) else event for event in events)
    return [piece for piece in pieces if isinstance(piece, Delta)]


class UsageSum:
    """The tokens of several answers; those that share a prompt count it once."""

    def __init__(self, per_prompt: int) -> None:
        self._per_prompt = per_prompt
        self._prompts: dict[int, int] = {}
        self._completion = 0

    def add(self, index: int, end: Done) -> None:
        self._prompts[index // self._per_prompt] = end.usage.prompt_tokens
        self._completion += end.usage.completion_tokens

    def json(self) -> JSON:
        prompt = sum(self._prompts.values())
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self._completion,
            "total_tokens": prompt + self._completion,
        }


class ChatFrames(AnswerFrames):
    """Answers of ``/v1/chat/completions``."""

    _prefix = "chatcmpl"

    def __init__(self, model: str, count: int = 1, *, include_usage: bool = False) -> None:
        super().__init__(model, count, include_usage=include_usage)
        self._opened: set[int] = set()
        self._called: set[int] = set()

    def _pieces(self, index: int, delta: Delta) -> bytes:
        """Thoughts and what follows them go into chunks of their own."""
        if delta.thinking and (delta.content or delta.tool_calls):
            thought = self._piece(index, Delta(thinking=delta.thinking, logprobs=delta.logprobs))
            rest = Delta(content=delta.content, tool_calls=delta.tool_calls)
            return thought + self._piece(index, rest)
        return self._piece(index, delta)

    def _last_piece(self, index: int, tail: Delta) -> bytes:
        if tail == _NOTHING and index in self._opened:
            return b""
        return self._pieces(index, tail)

    def _piece(self, index: int, delta: Delta) -> bytes:
        part: JSON = {} if index in self._opened else {"role": "assistant"}
        self._opened.add(index)
        if delta.tool_calls:
            self._called.add(index)
        choice: JSON = {"index": index, "delta": part | _said(delta), "finish_reason": None}
        return sse(self._chunk([choice | _logprobs(delta)]))

    def _finish(self, index: int, end: Done) -> JSON:
        reason = _reason(end, called=index in self._called)
        return {"index": index, "delta": {}, "finish_reason": reason}

    def _chunk(self, choices: list[JSON], usage: JSON | None = None) -> bytes:
        chunk = self._head("chat.completion.chunk") | {"choices": choices}
        return encode_json(chunk if usage is None else chunk | {"usage": usage})

    def _answer(self, index: int, output: Delta, end: AnswerEvent) -> JSON:
        if not isinstance(end, Done):
            empty = {"role": "", "content": ""}
            return {"index": index, "message": empty, "finish_reason": None}
        message = {"role": "assistant"} | _said(output)
        reason = _reason(end, called=bool(output.tool_calls))
        choice: JSON = {"index": index, "message": message, "finish_reason": reason}
        return choice | _logprobs(output)

    def _whole(self, answers: list[JSON], usage: JSON) -> JSON:
        return self._head("chat.completion") | {"choices": answers, "usage": usage}

    def _head(self, kind: str) -> JSON:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": FINGERPRINT,
        }


def _said(output: Delta) -> JSON:
    said: JSON = {"content": output.content}
    if output.thinking:
        said["reasoning"] = output.thinking
    if output.tool_calls:
        said["tool_calls"] = [_tool_call(call) for call in output.tool_calls]
    return said


def _tool_call(call: ToolCall) -> JSON:
    arguments = encode_json(call.arguments).decode()
    return {
        "id": call.id,
        "index": call.index,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _reason(end: Done, *, called: bool) -> str:
    return "tool_calls" if called and end.reason == "stop" else end.reason


def _logprobs(output: Delta) -> JSON:
    if not output.logprobs:
        return {}
    return {"logprobs": {"content": [_logprob(entry) for entry in output.logprobs]}}


def _logprob(entry: TokenLogprob) -> JSON:
    return {"bytes": None, "top_logprobs": []} | logprob(entry)
