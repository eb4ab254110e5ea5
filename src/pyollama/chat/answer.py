"""Parsers put one behind the other."""

from __future__ import annotations

from pyollama.chat.interface import OutputParser
from pyollama.types import Delta


class ParserChain:
    """The content that the first parser finds is read by the second one."""

    def __init__(self, first: OutputParser, second: OutputParser) -> None:
        self._first = first
        self._second = second

    def feed(self, text: str) -> Delta:
        return self._through(self._first.feed(text))

    def flush(self) -> Delta:
        delta = self._through(self._first.flush())
        rest = self._second.flush()
        return Delta(
            content=delta.content + rest.content,
            thinking=delta.thinking + rest.thinking,
            tool_calls=delta.tool_calls + rest.tool_calls,
        )

    def _through(self, delta: Delta) -> Delta:
        found = self._second.feed(delta.content) if delta.content else Delta()
        return Delta(
            content=found.content,
            thinking=delta.thinking + found.thinking,
            tool_calls=delta.tool_calls + found.tool_calls,
        )
