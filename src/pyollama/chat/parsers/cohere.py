"""The answers of Cohere's newer Command models."""

from __future__ import annotations

from pyollama.chat.answer import ParserChain
from pyollama.chat.holdback import partial_tags
from pyollama.chat.interface import OutputParser, Turn
from pyollama.chat.introspect import Tags
from pyollama.chat.parsers.base import NamedParser
from pyollama.chat.parsers.blocks import BlockParser
from pyollama.chat.parsers.jsoncalls import read_action
from pyollama.chat.parsers.making import Thoughts
from pyollama.types import Delta

_ACTION = ("<|START_ACTION|>", "<|END_ACTION|>")
_TEXT = ("<|START_TEXT|>", "<|END_TEXT|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>")
_THOUGHTS = Thoughts(
    Tags("<|START_THINKING|>", "<|END_THINKING|>"),
    until=_ACTION[:1],
    closing="<|END_THINKING|><|START_TEXT|>",
)


class TagDropper:
    """Content without the tags around it."""

    def __init__(self, tags: tuple[str, ...]) -> None:
        self._tags = tags
        self._held = ""

    def feed(self, text: str) -> Delta:
        self._held += text
        for tag in self._tags:
            self._held = self._held.replace(tag, "")
        certain = len(self._held) - partial_tags(self._held, self._tags)
        content, self._held = self._held[:certain], self._held[certain:]
        return Delta(content=content)

    def flush(self) -> Delta:
        held, self._held = self._held, ""
        return Delta(content=held)


def _create(turn: Turn) -> OutputParser:
    answer = ParserChain(TagDropper(_TEXT), BlockParser(*_ACTION, read_action))
    return _THOUGHTS.before(turn, answer)


PARSER = NamedParser(
    _create,
    tools=True,
    thinking=True,
    preserved=(_THOUGHTS.tags.opening, _THOUGHTS.tags.closing, *_ACTION, *_TEXT),
    around_thinking=Tags(_THOUGHTS.tags.opening, _THOUGHTS.closing),
)
