"""Number literals, with the types Go gives to untyped constants."""

from __future__ import annotations

import math
import re

from pyollama.chat.gotemplate.quote import quote

_OCTAL = re.compile(r"[+-]?0_?[0-7]+(?:_[0-7]+)*")
_COMPLEX = re.compile(r"(.*[^eEpP+-])([+-].*)i")


def _integer(literal: str) -> int | None:
    try:
        return int(literal, 8 if _OCTAL.fullmatch(literal) else 0)
    except ValueError:
        return None


def _float(literal: str) -> float | None:
    try:
        if literal.lstrip("+-")[:2] in ("0x", "0X"):
            value = float.fromhex(literal.replace("_", "")) if "p" in literal.lower() else math.inf
        else:
            value = math.inf if "_" in literal else float(literal)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def parse_number(literal: str) -> int | float | complex | None:
    """The value of a literal, ``None`` for an integer that needs a 64th bit.

    Raises ``ValueError`` in Go's words for what is no number.
    """
    if literal.endswith("i"):
        pair = _COMPLEX.fullmatch(literal)
        real, imaginary = (pair[1], pair[2]) if pair else ("0", literal[:-1])
        parts = _float(real), _float(imaginary)
        if parts[0] is not None and parts[1] is not None:
            return complex(*(part for part in parts if part is not None))
        raise ValueError(f"illegal number syntax: {quote(literal)}")
    integer = _integer(literal)
    if integer is not None and -(1 << 63) <= integer < 1 << 64:
        return integer if integer < 1 << 63 else None
    value = _float(literal)
    if value is None:
        raise ValueError(f"illegal number syntax: {quote(literal)}")
    if not any(mark in literal for mark in ".eEpP"):
        raise ValueError(f"integer overflow: {quote(literal)}")
    return value
