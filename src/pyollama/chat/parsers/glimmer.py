"""The answers of Muse Glimmer: messages with a recipient, calls in XML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from pyollama.chat.callids import new_call_id
from pyollama.chat.interface import OutputParser, Turn
from pyollama.chat.introspect import Tags
from pyollama.chat.parsers.addressed import MESSAGE, START, AddressedParser, Kind
from pyollama.chat.parsers.thoughts import WithoutThinking
from pyollama.chat.parsers.xmlvalues import declared_types, typed_value
from pyollama.types import JSON, Tool, ToolCall

AROUND_THINKING = Tags(" to=self<|message|>", "<|eom|><|start|>assistant to=user<|message|>")
PRESERVED = (START, MESSAGE, "<|eom|>", "<|eot|>")

_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_NAMED = re.compile(r'\s+name="([^"]+)"[^>]*>')


class GlimmerParser(AddressedParser):
    """What is said to "self" is thinking, what is said to a tool is a call; all else is content."""

    ends = ("<|eom|>", "<|eot|>", START)

    def __init__(self, tools: Sequence[Tool], new_id: Callable[[], str] = new_call_id) -> None:
        super().__init__(new_id=new_id)
        self._tools = tools
        self._recipient = ""

    @property
    def _kind(self) -> Kind:
        if self._recipient == "self":
            return "thinking"
        return "content" if self._recipient in ("", "user") else "call"

    def _read_header(self, header: str) -> None:
        recipient = _RECIPIENT.search(header)
        self._recipient = recipient[1] if recipient else ""

    def _read_calls(self, body: str, calls: list[ToolCall]) -> str:
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
