"""Parsers by the names that models give in ``PARSER``. A new one is a module and a line here."""

from __future__ import annotations

from collections.abc import Mapping

from pyollama.chat.parsers import harmony, qwen3_coder
from pyollama.chat.parsers.base import NamedParser
from pyollama.chat.parsers.passthrough import PassthroughParser

PARSERS: Mapping[str, NamedParser] = {
    "passthrough": NamedParser(lambda turn: PassthroughParser()),
    "harmony": NamedParser(
        harmony.create,
        tools=True,
        thinking=True,
        prepare=harmony.prepare,
        preserved=harmony.PRESERVED,
        stops=harmony.STOPS,
        resume=harmony.RESUME,
    ),
    "qwen3-coder": NamedParser(
        lambda turn: qwen3_coder.create(turn.tools),
        tools=True,
        preserved=("<tool_call>", "</tool_call>"),
    ),
}

__all__ = ["PARSERS", "NamedParser", "PassthroughParser"]
