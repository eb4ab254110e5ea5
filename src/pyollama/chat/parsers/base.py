"""How a parser is described to the rest of the text side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyollama.chat.interface import OutputParser, Turn
from pyollama.chat.introspect import Tags


@dataclass(frozen=True, slots=True)
class NamedParser:
    """A parser that a model can name.

    ``tools`` and ``thinking`` say what it takes out of an answer; some models think even when told
    not to. ``create`` makes one for the
    answer to a turn. ``prepare`` changes a turn before it is rendered, where the model knows tools
    by other names. ``preserved`` are the special tokens it must see.

    After thinking, a prompt that goes on with the answer has the thinking ``around_thinking``
    behind it; without that, the thinking as a message and then ``resume``.
    """

    create: Callable[[Turn], OutputParser]
    tools: bool = False
    thinking: bool = False
    always_thinks: bool = False
    prepare: Callable[[Turn], Turn] = lambda turn: turn
    preserved: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    resume: str = ""
    around_thinking: Tags | None = None
