"""The calls of DeepSeek-V3.1 and of Cogito, between the same tags."""

from __future__ import annotations

import re

from pyollama.chat.deepseektags import CALL, CALL_END, SEPARATOR
from pyollama.chat.parsers.jsoncalls import decoded_object
from pyollama.types import JSON

_CALL = re.compile(f"{CALL}(.*?){SEPARATOR}(.*?)(?:{CALL_END}|(?={CALL})|\\Z)", re.DOTALL)
_FENCED = re.compile(r"(.*?)\n```json\n(.*?)\n?```\s*", re.DOTALL)


def read(block: str) -> list[tuple[str, JSON]]:
    """A name, the separator and arguments."""
    return _all([(name, text) for name, text in _CALL.findall(block)])


def read_fenced(block: str) -> list[tuple[str, JSON]]:
    """The word "function", the separator, and then the name and fenced arguments."""
    fenced = [_FENCED.fullmatch(text) for _, text in _CALL.findall(block)]
    return _all([(found[1], found[2]) if found else ("", "") for found in fenced])


def _all(calls: list[tuple[str, str]]) -> list[tuple[str, JSON]]:
    """Nothing if one of them is no call."""
    found = [(name.strip(), decoded_object(text)) for name, text in calls]
    read = [(name, arguments) for name, arguments in found if name and arguments is not None]
    return read if len(read) == len(found) else []
