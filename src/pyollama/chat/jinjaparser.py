"""Reads answers with llama.cpp's parser, which always wants all of the text so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from pyollama.chat.callids import new_native_call_id
from pyollama.errors import EngineError, PyollamaError
from pyollama.types import Delta, ToolCall


class TextReader(Protocol):
    def parse(self, text: str, *, partial: bool) -> str: ...


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""
    id: str = ""


class _Parsed(msgspec.Struct):
    content: str = ""
    reasoning_content: str = ""
    tool_calls: list[_Function] = []


class JinjaParser:
    """Emits what each reading has more than the one before. Tool calls come at the end.

    White space at the start of the content is dropped. A call that was cut, so that its arguments
    are no JSON, becomes content; an answer that is nothing else is an error.
    """

    def __init__(self, reader: TextReader, new_id: Callable[[], str] = new_native_call_id) -> None:
        self._reader = reader
        self._new_id = new_id
        self._text = ""
        self._content = ""
        self._thinking = ""

    def feed(self, text: str) -> Delta:
        self._text += text
        try:
            return self._difference(self._parse(partial=True))
        except PyollamaError:
            return Delta()  # The next piece may make sense of it.

    def flush(self) -> Delta:
        try:
            parsed = self._parse(partial=False)
            calls = self._calls(parsed.tool_calls)
        except msgspec.DecodeError as error:
            if not self._content and not self._thinking:
                raise EngineError("the answer ends inside of a tool call") from error
            return Delta(content=self._unread())
        except PyollamaError:
            return Delta(content=self._unread())
        delta = self._difference(parsed)
        return msgspec.structs.replace(delta, tool_calls=calls)

    def _parse(self, partial: bool) -> _Parsed:
        parsed = msgspec.json.decode(self._reader.parse(self._text, partial=partial), type=_Parsed)
        parsed.content = parsed.content.lstrip()
        return parsed

    def _difference(self, parsed: _Parsed) -> Delta:
        """What ``parsed`` adds. A reading that takes something back adds nothing."""
        content = thinking = ""
        if parsed.content.startswith(self._content):
            content, self._content = parsed.content[len(self._content) :], parsed.content
        if parsed.reasoning_content.startswith(self._thinking):
            thinking = parsed.reasoning_content[len(self._thinking) :]
            self._thinking = parsed.reasoning_content
        return Delta(content=content, thinking=thinking)

    def _unread(self) -> str:
        """The text behind everything that was emitted."""
        for emitted in (self._content, self._thinking):
            position = self._text.rfind(emitted) if emitted else -1
            if position >= 0:
                return self._text[position + len(emitted) :]
        return self._text.lstrip()

    def _calls(self, functions: list[_Function]) -> tuple[ToolCall, ...]:
        return tuple(
            ToolCall(
                function.name,
                msgspec.json.decode(function.arguments or "{}", type=dict[str, Any]),
                id=function.id or self._new_id(),
                index=index,
            )
            for index, function in enumerate(functions)
        )
