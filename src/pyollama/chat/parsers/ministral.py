"""The calls of Ministral: ``[TOOL_CALLS]name[ARGS]{…}``, which nothing closes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyollama.chat.callids import new_call_id
from pyollama.chat.holdback import partial_tag
from pyollama.chat.jsonscan import ObjectScanner
from pyollama.chat.parsers.jsoncalls import decoded_object
from pyollama.types import Delta, Tool, ToolCall

CALL, ARGUMENTS = "[TOOL_CALLS]", "[ARGS]"


class MinistralParser:
    """Text before the first call is content; what turns out to be no call is content, too."""

    def __init__(self, tools: Sequence[Tool], new_id: Callable[[], str] = new_call_id) -> None:
        self._names = {tool.name for tool in tools}
        self._new_id = new_id
        self._held = ""
        self._inside = False
        self._scanner = ObjectScanner()
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
            span = next(self._scanner.scan(self._held), None)
            if span is None:
                break
            call = self._call(*span)
            calls += [call] if call else []
            content += [] if call else [self._held[: span[1]]]
            self._held = self._held[span[1] :]
            self._inside = False
        return Delta(content="".join(content), tool_calls=tuple(calls))

    def flush(self) -> Delta:
        held, self._held = self._held, ""
        return Delta(content=held)

    def _take_content(self) -> str:
        before, tag, _ = self._held.partition(CALL)
        if tag:
            self._held, self._inside = self._held[len(before) :], True
            self._scanner = ObjectScanner()
            return before
        certain = len(self._held) - partial_tag(self._held, CALL)
        content, self._held = self._held[:certain], self._held[certain:]
        return content

    def _call(self, start: int, end: int) -> ToolCall | None:
        name, tag, rest = self._held[len(CALL) : start].partition(ARGUMENTS)
        arguments = decoded_object(self._held[start:end])
        if not tag or rest.strip() or name.strip() not in self._names or arguments is None:
            return None
        self._count += 1
        return ToolCall(name.strip(), arguments, id=self._new_id(), index=self._count - 1)
