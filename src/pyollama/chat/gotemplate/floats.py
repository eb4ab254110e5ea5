"""Floats as Go writes them (``strconv.FormatFloat`` for 64 bits)."""

from __future__ import annotations

import math
from decimal import Decimal


def _digits(value: float) -> tuple[str, int]:
    """The shortest digits that stand for a positive number, and where the point goes in them."""
    _, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    point = len(digits) + int(exponent)
    return (text, point) if text else ("0", 1)


def _scientific(digits: str, point: int) -> str:
    exponent = point - 1 if digits != "0" else 0
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _positional(digits: str, point: int) -> str:
    if point <= 0:
        return f"0.{'0' * -point}{digits}"
    whole = digits[:point].ljust(point, "0")
    return f"{whole}.{digits[point:]}" if len(digits) > point else whole


def _shortest(value: float, verb: str) -> str:
    digits, point = _digits(value)
    if value == 0:
        point = 1
    if verb == "e" or (verb == "g" and not -4 <= point - 1 < 6):
        return _scientific(digits, point)
    return _positional(digits, point)


def _binary(value: float, verb: str, precision: int) -> str:
    fraction, exponent = math.frexp(value)
    mantissa = int(fraction * (1 << 53))
    if verb == "b":
        return f"{mantissa}p{exponent - 53:+d}" if value else "0p-1074"
    exponent = exponent - 1 if value else 0
    if 0 <= precision < 13:
        unit = 1 << (4 * (13 - precision))
        mantissa = round(mantissa / unit) * unit  # Exact: both fit into a float.
        if mantissa >= 1 << 53:
            mantissa, exponent = mantissa >> 1, exponent + 1
    digits = f"{mantissa & ((1 << 52) - 1):013x}"
    digits = digits.rstrip("0") if precision < 0 else digits.ljust(precision, "0")[:precision]
    point = "." if digits else ""
    sign = "-" if exponent < 0 else "+"
    return f"0x{mantissa >> 52}{point}{digits}p{sign}{abs(exponent):02d}"


def format_float(value: float, verb: str = "g", precision: int = -1) -> str:
    """``verb`` is one of e, f, g, b and x; a negative precision asks for the shortest digits."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1, value) < 0 else ""
    value = abs(value)
    if verb in "bx":
        return sign + _binary(value, verb, precision)
    if precision < 0:
        return sign + _shortest(value, verb)
    text = format(value, f".{min(precision, 1100)}{verb}")
    if precision > 1100 and verb != "g":
        head, mark, tail = text.partition("e")
        text = head + "0" * (precision - 1100) + mark + tail
    return sign + text
