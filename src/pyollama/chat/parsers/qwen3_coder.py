"""The tool calls of Qwen3-Coder: XML between ``<tool_call>`` tags."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyollama.chat.parsers.blocks import ReadBlock
from pyollama.chat.parsers.xmlvalues import declared_types, typed_value
from pyollama.types import JSON, Tool

_FUNCTION = re.compile(r"<function=([^>]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>]+)>(.*?)(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL)


def reader(tools: Sequence[Tool]) -> ReadBlock:
    def read(block: str) -> list[tuple[str, JSON]]:
        return [_call(match, tools) for match in _FUNCTION.finditer(block)]

    return read


def _call(function: re.Match[str], tools: Sequence[Tool]) -> tuple[str, JSON]:
    name = function[1].strip()
    types = declared_types(tools, name)
    arguments = {
        match[1].strip(): typed_value(_trimmed(match[2]), types.get(match[1].strip(), frozenset()))
        for match in _PARAMETER.finditer(function[2])
    }
    return name, arguments


def _trimmed(value: str) -> str:
    """Without the line breaks that separate a value from its tags."""
    return value.removeprefix("\n").removesuffix("\n")
