"""The calls of DeepSeek-V3.1 and of Cogito, between the same tags."""

from __future__ import annotations

from pyollama.chat.deepseektags import CALL, CALL_END, SEPARATOR
from pyollama.chat.parsers.jsoncalls import decoded_object
from pyollama.types import JSON

_FENCE = "\n```json\n"


def read(block: str) -> list[tuple[str, JSON]]:
    """A name, the separator and arguments."""
    return _all(_parts(block))


def read_fenced(block: str) -> list[tuple[str, JSON]]:
    """The word "function", the separator, and then the name and fenced arguments."""
    return _all([_fenced(text) for _, text in _parts(block)])


def _fenced(text: str) -> tuple[str, str]:
    name, _, rest = text.partition(_FENCE)
    arguments, _, behind = rest.rpartition("```")
    return (name, arguments) if not behind.strip() else ("", "")


def _parts(block: str) -> list[tuple[str, str]]:
    """What stands before and behind the separator of each call; its last tag may be missing."""
    calls = [call.partition(SEPARATOR) for call in block.split(CALL)[1:]]
    return [(name, text.partition(CALL_END)[0]) for name, found, text in calls if found]


def _all(calls: list[tuple[str, str]]) -> list[tuple[str, JSON]]:
    """Nothing if one of them is no call."""
    found = [(name.strip(), decoded_object(text)) for name, text in calls]
    read = [(name, arguments) for name, arguments in found if name and arguments is not None]
    return read if len(read) == len(found) else []
