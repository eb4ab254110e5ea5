"""Tool calls that stand between two tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyollama.chat.callids import new_call_id
from pyollama.chat.holdback import partial_tag
from pyollama.types import JSON, Delta, ToolCall

ReadBlock = Callable[[str], Sequence[tuple[str, JSON]]]
"""From the text between the tags to names and arguments; nothing if it is no call."""


class BlockParser:
    """Text outside of the tags is content, without the white space around the blocks.

    A block that is no call, or that does not end, becomes content with its tags.
    """

    def __init__(
        self,
        opening: str,
        closing: str,
        read: ReadBlock,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self._opening = opening
        self._closing = closing
        self._read = read
        self._new_id = new_id
        self._held = ""
        self._inside = False
        self._after_block = False
        self._count = 0

    def feed(self, text: str) -> Delta:
        self._held += text
        content: list[str] = []
        calls: list[ToolCall] = []
        while True:
            if not self._inside:
                content.append(self._take_content())
                if not self._inside:
                    break
            end = self._held.find(self._closing)
            if end < 0:
                break
            block = self._held[len(self._opening) : end]
            found = self._read(block)
            if not found:
                content.append(self._held[: end + len(self._closing)])
            calls += map(self._call, found)
            self._held = self._held[end + len(self._closing) :]
            self._inside = False
            self._after_block = bool(found)
        return Delta(content="".join(content), tool_calls=tuple(calls))

    def flush(self) -> Delta:
        held, self._held = self._held, ""
        if self._after_block and not self._inside:
            held = held.lstrip()
        return Delta(content=held)

    def _call(self, call: tuple[str, JSON]) -> ToolCall:
        name, arguments = call
        self._count += 1
        return ToolCall(name, arguments, id=self._new_id(), index=self._count - 1)

    def _take_content(self) -> str:
        """What is certain of the text before the next block; at its start if there is one."""
        if self._after_block:
            self._held = self._held.lstrip()
        start = self._held.find(self._opening)
        certain = start
        if start < 0:
            certain = len(self._held) - partial_tag(self._held, self._opening)
        content = self._held[:certain].rstrip()
        if start < 0:
            self._held = self._held[len(content) :]
        else:
            self._held, self._inside = self._held[start:], True
        self._after_block = self._after_block and not content
        return content
