"""Named parsers from their two parts: where thinking ends, and what calls look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyollama.chat.answer import ParserChain
from pyollama.chat.interface import OutputParser, Turn
from pyollama.chat.introspect import Tags
from pyollama.chat.parsers.base import NamedParser
from pyollama.chat.parsers.blocks import BlockParser, ReadBlock
from pyollama.chat.parsers.passthrough import PassthroughParser
from pyollama.chat.parsers.thoughts import ThoughtParser, WithoutThinking

THINK = Tags("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class Thoughts:
    """How a family thinks.

    ``default`` holds where the turn leaves it open, ``always`` says that nothing switches it off.
    ``opened`` tells whether the prompt opens the thinking, ``prefills`` whether an answer that the
    turn has begun goes on without any. ``drops`` takes out what a model thinks that was told not
    to. ``until`` are tags that end the thinking, too, and ``closing`` is what stands between
    finished thinking and an answer.
    """

    tags: Tags = THINK
    default: bool = True
    always: bool = False
    opened: Callable[[Turn], bool] = lambda turn: True
    prefills: bool = True
    drops: bool = False
    until: tuple[str, ...] = ()
    closing: str = "\n</think>\n\n"

    def before(self, turn: Turn, answer: OutputParser) -> OutputParser:
        thinks = self.always or (self.default if turn.think is None else bool(turn.think))
        if not (thinks or self.drops) or (self.prefills and _is_begun(turn)):
            return answer
        inside = thinks and self.opened(turn)
        thoughts = ThoughtParser(self.tags, inside=inside, until=self.until)
        return ParserChain(thoughts if thinks else WithoutThinking(thoughts), answer)


def _is_begun(turn: Turn) -> bool:
    last = turn.messages[-1] if turn.messages else None
    return last is not None and last.role == "assistant" and bool(last.content)


def after_result(turn: Turn) -> bool:
    return bool(turn.messages) and turn.messages[-1].role == "tool"


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls stand between two tags; ``reader`` makes of a turn what reads them."""

    opening: str
    closing: str
    reader: Callable[[Turn], ReadBlock]


def named(
    calls: Calls | None,
    thoughts: Thoughts | None = None,
    *,
    lists_thinking: bool = True,
    inner: tuple[str, ...] = (),
) -> NamedParser:
    """``lists_thinking=False`` reads thinking without naming it a capability of the model.

    ``inner`` are further special tokens that stand in thinking and calls.
    """

    def create(turn: Turn) -> OutputParser:
        answer: OutputParser = PassthroughParser()
        if calls is not None:
            answer = BlockParser(calls.opening, calls.closing, calls.reader(turn))
        return answer if thoughts is None else thoughts.before(turn, answer)

    tags = (thoughts.tags.opening, thoughts.tags.closing) if thoughts else ()
    return NamedParser(
        create,
        tools=calls is not None,
        thinking=thoughts is not None and lists_thinking,
        preserved=(*tags, *((calls.opening, calls.closing) if calls else ()), *inner),
        always_thinks=thoughts is not None and thoughts.always,
        around_thinking=Tags(thoughts.tags.opening, thoughts.closing) if thoughts else None,
    )
