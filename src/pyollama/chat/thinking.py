"""Takes thinking between two tags out of an answer."""

from __future__ import annotations

from enum import Enum

from pyollama.chat.holdback import partial_tag
from pyollama.chat.introspect import Tags
from pyollama.types import Delta


class _State(Enum):
    START = "nothing but white space yet"
    OPENED = "white space after the opening tag"
    THINKING = "inside"
    CLOSED = "white space after the closing tag"
    CONTENT = "after"


class ThinkingParser:
    """Only an answer that begins with the opening tag has thinking in it.

    White space before and after the opening tag and after the closing one belongs to neither part.
    Thinking that is never closed is thinking to its end. ``inside`` says that the prompt ended with
    the opening tag.
    """

    def __init__(self, tags: Tags, *, inside: bool = False) -> None:
        self._tags = tags
        self._state = _State.OPENED if inside else _State.START
        self._held = ""

    def feed(self, text: str) -> Delta:
        self._held += text
        if self._state is _State.START:
            self._start()
        if self._state in (_State.OPENED, _State.CLOSED):
            self._skip_space()
        thinking = self._think() if self._state is _State.THINKING else ""
        if self._state is _State.CLOSED:
            self._skip_space()
        content = self._take() if self._state is _State.CONTENT else ""
        return Delta(content=content, thinking=thinking)

    def flush(self) -> Delta:
        if self._state is _State.THINKING:
            return Delta(thinking=self._take())
        if self._state is _State.START:
            return Delta(content=self._take())
        return Delta()

    def _take(self) -> str:
        held, self._held = self._held, ""
        return held

    def _start(self) -> None:
        text = self._held.lstrip()
        if text.startswith(self._tags.opening):
            self._held = text.removeprefix(self._tags.opening)
            self._state = _State.OPENED
        elif not self._tags.opening.startswith(text):
            self._state = _State.CONTENT

    def _skip_space(self) -> None:
        self._held = self._held.lstrip()
        if self._held:
            opened = self._state is _State.OPENED
            self._state = _State.THINKING if opened else _State.CONTENT

    def _think(self) -> str:
        thinking, closing, rest = self._held.partition(self._tags.closing)
        if closing:
            self._held, self._state = rest, _State.CLOSED
            return thinking
        certain = len(self._held) - partial_tag(self._held, self._tags.closing)
        thinking, self._held = self._held[:certain], self._held[certain:]
        return thinking
