"""The answers of Muse Glimmer: messages with a recipient, calls in XML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from pyollama.chat.callids import new_call_id
from pyollama.chat.holdback import partial_tags
from pyollama.chat.interface import OutputParser, Turn
from pyollama.chat.introspect import Tags
from pyollama.chat.parsers.thoughts import WithoutThinking
from pyollama.chat.parsers.xmlvalues import declared_types, typed_value
from pyollama.types import JSON, Delta, Tool, ToolCall

START, MESSAGE = "<|start|>", "<|message|>"
_ENDS = ("<|eom|>", "<|eot|>", START)
AROUND_THINKING = Tags(" to=self<|message|>", "<|eom|><|start|>assistant to=user<|message|>")
PRESERVED = (START, MESSAGE, "<|eom|>", "<|eot|>")

_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_NAMED = re.compile(r'\s+name="([^"]+)"[^>]*>')


class GlimmerParser:
    """An answer goes on after ``<|start|>assistant``.

    What is said to "self" is thinking, what is said to a tool is a call; all else is content. A
    call that cannot be read is content, too.
    """

    def __init__(self, tools: Sequence[Tool], new_id: Callable[[], str] = new_call_id) -> None:
        self._tools = tools
        self._new_id = new_id
        self._held = ""
        self._in_header = True
        self._saw_message = False
        self._recipient = ""
        self._count = 0

    def feed(self, text: str) -> Delta:
        self._held += text
        content = thinking = ""
        calls: list[ToolCall] = []
        while True:
            if self._in_header and not self._read_header():
                break
            body, ended = self._read_body()
            if self._recipient == "self":
                thinking += body
            elif self._recipient in ("", "user"):
                content += body
            elif ended:
                content += self._read_calls(body, calls)
            if not ended:
                break
        return Delta(content=content, thinking=thinking, tool_calls=tuple(calls))

    def flush(self) -> Delta:
        held, self._held = self._held, ""
        if self._in_header:
            return Delta() if self._saw_message else Delta(content=held)
        if self._recipient == "self":
            return Delta(thinking=held)
        if self._recipient in ("", "user"):
            return Delta(content=held)
        calls: list[ToolCall] = []
        content = self._read_calls(held, calls)
        return Delta(content=content, tool_calls=tuple(calls))

    def _read_header(self) -> bool:
        header, tag, rest = self._held.partition(MESSAGE)
        if not tag:
            return False
        recipient = _RECIPIENT.search(header)
        self._recipient = recipient[1] if recipient else ""
        self._held, self._in_header, self._saw_message = rest, False, True
        return True

    def _read_body(self) -> tuple[str, bool]:
        """What is certain of the body, all of it if it ended."""
        found = [(at, tag) for tag in _ENDS if (at := self._held.find(tag)) >= 0]
        if found:
            at, tag = min(found)
            body, self._held = self._held[:at], self._held[at + len(tag) :]
            self._in_header = True
            return body, True
        if self._recipient not in ("", "user", "self"):
            return "", False
        certain = len(self._held) - partial_tags(self._held, _ENDS)
        body, self._held = self._held[:certain], self._held[certain:]
        return body, False

    def _read_calls(self, body: str, calls: list[ToolCall]) -> str:
        """Adds the calls in ``body`` to ``calls``; if there are none, it is content instead."""
        found = [(self._real_name(name), text) for name, text in _elements(body, "invoke")]
        if not found or not all(name for name, _ in found):
            return body
        for name, text in found:
            arguments = _values(text, declared_types(self._tools, name))
            calls.append(ToolCall(name, arguments, id=self._new_id(), index=self._count))
            self._count += 1
        return ""

    def _real_name(self, name: str) -> str:
        """The declared tool that is meant; a bare name may come as ``name.name``."""
        last = name.rpartition(".")[2]
        names = {tool.name for tool in self._tools}
        return next((each for each in (name, last) if each in names), "")


def _elements(text: str, kind: str) -> Iterator[tuple[str, str]]:
    """Name and content of each complete element of a kind."""
    for piece in text.split(f"<atem:{kind}")[1:]:
        head = _NAMED.match(piece)
        if head:
            content, closing, _ = piece[head.end() :].partition(f"</atem:{kind}>")
            if closing:
                yield head[1], content


def _values(text: str, types: Mapping[str, frozenset[str]]) -> JSON:
    return {
        name: typed_value(value, types.get(name, frozenset()))
        for name, value in _elements(text, "parameter")
    }


def create(turn: Turn) -> OutputParser:
    parser = GlimmerParser(turn.tools)
    return WithoutThinking(parser) if turn.think is False else parser
