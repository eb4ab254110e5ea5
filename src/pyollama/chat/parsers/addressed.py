"""Answers in messages, each with a header that says whom or what it is for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

from pyollama.chat.callids import new_call_id
from pyollama.chat.holdback import partial_tags
from pyollama.types import Delta, ToolCall

START, MESSAGE = "<|start|>", "<|message|>"

Kind = Literal["content", "thinking", "call"]


class AddressedParser(ABC):
    """An answer goes on after ``<|start|>assistant``, or inside of a message that was begun.

    A header ends with ``<|message|>``, a body with one of ``ends``. A call is read when its message
    has ended; one that cannot be read is content.
    """

    ends: ClassVar[tuple[str, ...]]

    def __init__(self, *, in_header: bool = True, new_id: Callable[[], str] = new_call_id) -> None:
        self._new_id = new_id
        self._held = ""
        self._in_header = in_header
        self._saw_message = not in_header
        self._count = 0

    def feed(self, text: str) -> Delta:
        self._held += text
        content = thinking = ""
        calls: list[ToolCall] = []
        while True:
            if self._in_header and not self._take_header():
                break
            body, ended = self._take_body()
            if self._kind == "thinking":
                thinking += body
            elif self._kind == "content":
                content += body
            elif ended:
                content += self._read_calls(body, calls)
            if not ended:
                break
        return Delta(content=content, thinking=thinking, tool_calls=tuple(calls))

    def flush(self) -> Delta:
        held, self._held = self._held, ""
        if self._in_header:
            # No message at all: the model does not write in this form.
            return Delta() if self._saw_message else Delta(content=held)
        if self._kind == "thinking":
            return Delta(thinking=held)
        if self._kind == "content":
            return Delta(content=held)
        calls: list[ToolCall] = []
        content = self._read_calls(held, calls)
        return Delta(content=content, tool_calls=tuple(calls))

    @property
    @abstractmethod
    def _kind(self) -> Kind:
        """What the message at hand is, by its header."""

    @abstractmethod
    def _read_header(self, header: str) -> None:
        """Take note of whom the message is for."""

    @abstractmethod
    def _read_calls(self, body: str, calls: list[ToolCall]) -> str:
        """Add the calls in ``body`` to ``calls``; returns it as content if there are none."""

    def _take_header(self) -> bool:
        header, tag, rest = self._held.partition(MESSAGE)
        if not tag:
            return False
        self._read_header(header)
        self._held, self._in_header, self._saw_message = rest, False, True
        return True

    def _take_body(self) -> tuple[str, bool]:
        """What is certain of the body, all of it if it ended."""
        found = [(at, tag) for tag in self.ends if (at := self._held.find(tag)) >= 0]
        if found:
            at, tag = min(found)
            body, self._held = self._held[:at], self._held[at + len(tag) :]
            self._in_header = True
            return body, True
        if self._kind == "call":
            return "", False
        certain = len(self._held) - partial_tags(self._held, self.ends)
        body, self._held = self._held[:certain], self._held[certain:]
        return body, False
