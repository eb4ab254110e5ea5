"""The calls of GLM and Laguna: a name, then pairs of ``arg_key`` and ``arg_value``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyollama.chat.parsers.blocks import ReadBlock
from pyollama.chat.parsers.jsoncalls import read_call
from pyollama.chat.parsers.xmlvalues import declared_types, typed_value
from pyollama.types import JSON, Tool

_PAIR = re.compile(
    r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)(?:</arg_value>|(?=<arg_key>)|\Z)", re.DOTALL
)


def reader(tools: Sequence[Tool]) -> ReadBlock:
    def read(block: str) -> list[tuple[str, JSON]]:
        text = block.strip()
        if text.startswith("{"):
            return read_call(text)
        name = text.partition("<arg_key>")[0].strip()
        if not name or "<" in name:
            return []
        types = declared_types(tools, name)
        arguments = {
            key.strip(): typed_value(value, types.get(key.strip(), frozenset()))
            for key, value in _PAIR.findall(text)
        }
        return [(name, arguments)]

    return read
