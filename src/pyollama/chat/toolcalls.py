"""Takes tool calls out of an answer, for models whose template shows how they write them.

What a call looks like is known only roughly: a tag, the name of a tool, and a JSON object that is
or holds the arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum

import msgspec

from pyollama.chat.callids import new_call_id
from pyollama.chat.holdback import partial_tag
from pyollama.chat.jsonscan import ObjectScanner
from pyollama.types import JSON, Delta, Tool, ToolCall

_BRACKETS = ("{", "[")


class _State(Enum):
    LOOKING = "for the tag"
    READING = "what follows the tag"
    OFF = "there are no calls in this answer"


class ToolCallParser:
    """Text before the tag is content; text from it on is held back until it is a call or is not.

    Where a template has no tag, calls begin with a bare bracket, and then only an answer that
    begins with one is looked at. What turns out to be no call (another tool, broken JSON, an answer
    that was cut) becomes content again.
    """

    def __init__(
        self, tag: str, tools: Sequence[Tool], new_id: Callable[[], str] = new_call_id
    ) -> None:
        self._tag = tag
        self._names = sorted((tool.name for tool in tools if tool.name), key=len, reverse=True)
        self._new_id = new_id
        self._state = _State.LOOKING
        self._held = ""
        self._used = 0  # characters of the held text that calls were made of
        self._scanner = ObjectScanner()
        self._count = 0

    def feed(self, text: str) -> Delta:
        self._held += text
        content = self._look() if self._state is _State.LOOKING else ""
        calls = self._read() if self._state is _State.READING else ()
        if self._state is _State.OFF:
            content += self._take()
        return Delta(content=content, tool_calls=calls)

    def flush(self) -> Delta:
        if self._state is _State.READING and self._count:
            # After a call: a closing tag, or one more call that failed.
            again = -1 if self._tag in _BRACKETS else self._held.find(self._tag, self._used)
            self._held = self._held[again:] if again >= 0 else ""
        return Delta(content=self._take())

    def _take(self) -> str:
        held, self._held = self._held, ""
        return held

    def _look(self) -> str:
        """The text before the tag, as far as it is certain."""
        if self._tag in _BRACKETS:
            start = self._held.lstrip()
            if start:
                self._state = _State.READING if start[0] == self._tag else _State.OFF
            return ""
        before, tag, _ = self._held.partition(self._tag)
        if tag:
            self._state = _State.READING
            self._held = self._held[len(before) :]
            return before
        certain = len(self._held) - partial_tag(self._held, self._tag)
        content, self._held = self._held[:certain], self._held[certain:]
        return content

    def _read(self) -> tuple[ToolCall, ...]:
        calls: list[ToolCall] = []
        for start, end in self._scanner.scan(self._held):
            found = self._calls_of(start, end)
            if found:
                self._used = end
                calls.extend(self._numbered(found))
            elif self._tag in _BRACKETS and not self._count:
                self._state = _State.OFF
                break
        if self._tag == "[" and not self._is_list_of_objects():
            self._state = _State.OFF
        return tuple(calls)

    def _is_list_of_objects(self) -> bool:
        items = self._held.lstrip()[1:].lstrip()
        return not items or items[0] == "{"

    def _numbered(self, calls: Sequence[tuple[str, JSON]]) -> Iterator[ToolCall]:
        for name, arguments in calls:
            yield ToolCall(name, arguments, id=self._new_id(), index=self._count)
            self._count += 1

    # --- what an object means -------------------------------------------------------------------

    def _calls_of(self, start: int, end: int) -> list[tuple[str, JSON]]:
        try:
            data = msgspec.json.decode(self._held[start:end].encode())
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return []
        calls = list(self._named_calls(data))
        if calls or _names_something(data):
            return calls
        # The name of the tool stands before its arguments, or somewhere in them.
        before = self._held[self._used : start]
        name = self._first_name(before) or self._first_name(self._held[start:end])
        return [(name, data)] if name else []

    def _named_calls(self, data: object) -> Iterator[tuple[str, JSON]]:
        """Calls that say what they call: by a member "name", or by being a member so named."""
        if isinstance(data, list):
            for item in data:
                yield from self._named_calls(item)
        if not isinstance(data, dict):
            return
        if _names_something(data):
            arguments = _arguments(data)
            if arguments is None and self._tag not in _BRACKETS:
                arguments = {}
            if data["name"] in self._names and arguments is not None:
                yield data["name"], arguments
            return
        for key, value in data.items():
            if key in self._names and (arguments := _as_object(value)) is not None:
                yield key, arguments
            else:
                yield from self._named_calls(value)

    def _first_name(self, text: str) -> str | None:
        """The earliest name of a tool; the longest of those at one place."""
        found = [(position, name) for name in self._names if (position := text.find(name)) >= 0]
        return min(found, key=lambda item: (item[0], -len(item[1])))[1] if found else None


def _names_something(data: object) -> bool:
    return isinstance(data, dict) and isinstance(data.get("name"), str)


def _arguments(data: JSON) -> JSON | None:
    for key in ("arguments", "parameters"):
        arguments = _as_object(data.get(key))
        if arguments is not None:
            return arguments
    return None


def _as_object(value: object) -> JSON | None:
    """An object, or a text that holds one."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def preserved_text(tag: str) -> str | None:
    """The special token that a tag may be, which must show up in the answer."""
    if tag in _BRACKETS:
        return None
    for opening, closing in ("[]", "<>"):
        if tag.startswith(opening) and closing in tag:
            return tag[: tag.index(closing) + 1]
    return tag
