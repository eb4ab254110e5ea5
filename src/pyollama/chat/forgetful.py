"""Models that must not see what they thought in earlier turns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from pyollama.chat.interface import ChatFormat, Prompt, Turn
from pyollama.chat.introspect import Tags
from pyollama.chat.thinking import ThinkingParser
from pyollama.types import Message

_TAGS = Tags("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class ForgetfulFormat:
    """Another format, with the thinking cut out of the content of earlier answers."""

    inner: ChatFormat

    @property
    def native(self) -> bool:
        return self.inner.native

    def chat(self, turn: Turn) -> Prompt:
        return self.inner.chat(_forget(turn))

    def complete(self, turn: Turn) -> Prompt:
        return self.inner.complete(turn)

    def insert(self, prefix: str, suffix: str, turn: Turn) -> Prompt:
        return self.inner.insert(prefix, suffix, turn)

    def raw(self, text: str, turn: Turn) -> Prompt:
        return self.inner.raw(text, turn)

    def after_thinking(self, turn: Turn, prompt: Prompt, thinking: str) -> Prompt:
        return self.inner.after_thinking(_forget(turn), prompt, thinking)


def _forget(turn: Turn) -> Turn:
    questions = [at for at, message in enumerate(turn.messages) if message.role == "user"]
    last = questions[-1] if questions else 0
    messages = tuple(
        _content_only(message) if at < last and message.role == "assistant" else message
        for at, message in enumerate(turn.messages)
    )
    return replace(turn, messages=messages)


def _content_only(message: Message) -> Message:
    parser = ThinkingParser(_TAGS)
    content = parser.feed(message.content).content + parser.flush().content
    return msgspec.structs.replace(message, content=content)
