"""Values that bodies of every dialect have in common."""

from __future__ import annotations

from typing import Any

from pyollama.durations import LONGEST, SECOND, parse_duration
from pyollama.errors import InvalidRequest

_LONGEST = LONGEST / SECOND
_GO_TYPES = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}

MOST_LOGPROBS = 20


def keep_alive(value: Any) -> float | None:
    """Seconds; a number counts seconds, a text is a duration."""
    if value is None:
        return None
    if isinstance(value, bool | list | dict):
        raise InvalidRequest(f"Unsupported type: '{_GO_TYPES[type(value)]}'", field="keep_alive")
    if isinstance(value, int | float):
        return float(max(-_LONGEST, min(value, _LONGEST)))
    try:
        return parse_duration(value) / SECOND
    except ValueError as error:
        raise InvalidRequest(f"keep_alive: {error}", field="keep_alive") from error


def check_logprobs(alternatives: int, field: str = "top_logprobs") -> None:
    if not 0 <= alternatives <= MOST_LOGPROBS:
        raise InvalidRequest(f"top_logprobs must be between 0 and {MOST_LOGPROBS}", field=field)
