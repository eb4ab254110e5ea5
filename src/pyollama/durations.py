"""Durations as Go writes them: ``1h30m``, ``-1.5s``, ``250ms``. Values are integer nanoseconds."""

from __future__ import annotations

import re
from decimal import Decimal

NANOSECOND = 1
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

#: Longer ones do not fit into Go's int64; parsing refuses them.
LONGEST = 2**63 - 1

_UNITS = {
    "ns": NANOSECOND,
    "us": MICROSECOND,
    "µs": MICROSECOND,  # U+00B5, micro sign
    "μs": MICROSECOND,  # U+03BC, Greek mu
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_TERM = re.compile(r"(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)(?P<unit>[^0-9.]*)", re.ASCII)


def parse_duration(text: str) -> int:
    """Nanoseconds of ``text``; :class:`ValueError` says what is wrong with it."""
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    if unsigned == "0":
        return 0
    position = 0
    total = 0
    while position < len(unsigned):
        term = _TERM.match(unsigned, position)
        if term is None:
            raise ValueError(f"invalid duration {text!r}")
        total += _term(term["number"], term["unit"], text)
        if total > LONGEST:
            raise ValueError(f"invalid duration {text!r}: it is too long")
        position = term.end()
    if position == 0:
        raise ValueError(f"invalid duration {text!r}")
    return -total if text.startswith("-") else total


def _term(number: str, unit: str, text: str) -> int:
    if not unit:
        raise ValueError(f"missing unit in duration {text!r}: write for example {number}s")
    if unit not in _UNITS:
        raise ValueError(f"unknown unit {unit!r} in duration {text!r}")
    if len(number) > 64:
        raise ValueError(f"invalid duration: a number of {len(number)} digits")
    return int(Decimal(number) * _UNITS[unit])


def format_duration(nanoseconds: int) -> str:
    """The form Go prints; :func:`parse_duration` reads it back to the same value."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < SECOND:
        for unit in ("ms", "µs", "ns"):
            if rest >= _UNITS[unit]:
                return f"{sign}{_decimal(rest, _UNITS[unit])}{unit}"
    minutes, below = divmod(rest, MINUTE)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{head}{_decimal(below, SECOND)}s"


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    if part == 0:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{part:0{digits}d}".rstrip("0")
