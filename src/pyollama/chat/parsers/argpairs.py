"""The calls of GLM and Laguna: a name, then pairs of ``arg_key`` and ``arg_value``."""

from __future__ import annotations

from collections.abc import Sequence

from pyollama.chat.parsers.blocks import ReadBlock
from pyollama.chat.parsers.jsoncalls import read_call
from pyollama.chat.parsers.xmlvalues import declared_types, typed_value
from pyollama.types import JSON, Tool

_KEY, _VALUE = "<arg_key>", "<arg_value>"


def reader(tools: Sequence[Tool]) -> ReadBlock:
    def read(block: str) -> list[tuple[str, JSON]]:
        text = block.strip()
        if text.startswith("{"):
            return read_call(text)
        name, *pairs = text.split(_KEY)
        name = name.strip()
        if not name or "<" in name:
            return []
        types = declared_types(tools, name)
        arguments = {
            key: typed_value(value, types.get(key, frozenset()))
            for key, value in filter(None, map(_pair, pairs))
        }
        return [(name, arguments)]

    return read


def _pair(text: str) -> tuple[str, str] | None:
    """Key and value in what follows the tag of a key; the last tag may be missing."""
    key, closing, rest = text.partition("</arg_key>")
    before, opening, value = rest.partition(_VALUE)
    if not closing or not opening or before.strip():
        return None
    return key.strip(), value.partition("</arg_value>")[0]
