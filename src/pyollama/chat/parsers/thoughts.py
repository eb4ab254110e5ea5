"""Thinking in the answers of models whose parser knows where it ends."""

from __future__ import annotations

from enum import Enum

import msgspec

from pyollama.chat.holdback import partial_tags
from pyollama.chat.interface import OutputParser
from pyollama.chat.introspect import Tags
from pyollama.types import Delta


class _State(Enum):
    START = "nothing but white space yet"
    THINKING = "inside"
    CLOSED = "white space after the closing tag"
    CONTENT = "after"


class ThoughtParser:
    """Thinking without the white space around it, then content.

    ``inside`` says that the prompt has opened the thinking; the answer may do so again. Otherwise
    only an answer that begins with the opening tag has thinking in it. Any of ``until`` ends the
    thinking as well, and is content.
    """

    def __init__(self, tags: Tags, *, inside: bool, until: tuple[str, ...] = ()) -> None:
        self._tags = tags
        self._inside = inside
        self._ends = (tags.closing, *until)
        self._state = _State.START
        self._begun = False
        self._held = ""

    def feed(self, text: str) -> Delta:
        self._held += text
        if self._state is _State.START:
            self._start()
        thinking = self._think() if self._state is _State.THINKING else ""
        if self._state is _State.CLOSED:
            self._held = self._held.lstrip()
            if self._held:
                self._state = _State.CONTENT
        content = self._take() if self._state is _State.CONTENT else ""
        return Delta(content=content, thinking=thinking)

    def flush(self) -> Delta:
        held = self._take()
        if self._state is _State.THINKING or (self._state is _State.START and self._inside):
            return Delta(thinking=held.rstrip())
        return Delta(content=held) if self._state is _State.START else Delta()

    def _take(self) -> str:
        held, self._held = self._held, ""
        return held

    def _start(self) -> None:
        text = self._held.lstrip()
        if text.startswith(self._tags.opening):
            self._held = text.removeprefix(self._tags.opening)
            self._state = _State.THINKING
        elif not self._tags.opening.startswith(text):
            self._state = _State.THINKING if self._inside else _State.CONTENT

    def _think(self) -> str:
        if not self._begun:
            self._held = self._held.lstrip()
            self._begun = bool(self._held)
        found = [(at, tag) for tag in self._ends if (at := self._held.find(tag)) >= 0]
        if found:
            at, tag = min(found)
            thinking = self._held[:at].rstrip()
            self._held = self._held[at + len(tag) * (tag == self._tags.closing) :]
            self._state = _State.CLOSED
            return thinking
        certain = len(self._held) - partial_tags(self._held, self._ends)
        thinking = self._held[:certain].rstrip()
        self._held = self._held[len(thinking) :]
        return thinking


class WithoutThinking:
    """Another parser, whose thinking nobody wants to see."""

    def __init__(self, inner: OutputParser) -> None:
        self._inner = inner

    def feed(self, text: str) -> Delta:
        return msgspec.structs.replace(self._inner.feed(text), thinking="")

    def flush(self) -> Delta:
        return msgspec.structs.replace(self._inner.flush(), thinking="")
