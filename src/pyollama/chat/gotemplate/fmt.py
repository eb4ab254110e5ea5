"""Go's ``fmt``: values as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pyollama.chat.gotemplate.floats import format_float
from pyollama.chat.gotemplate.quote import (
    can_backquote,
    printable,
    quote,
    quote_char,
    to_bytes,
)
from pyollama.chat.gotemplate.values import (
    Stringer,
    Struct,
    is_nil,
    sorted_items,
    type_name,
)

_INTEGER_BASES = {"d": "d", "v": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_MAX_DEPTH = 100
_COMPOSITES = (Mapping, Sequence, Struct)


@dataclass(slots=True)
class Flags:
    """What stands between the percent sign and the verb."""

    sharp: bool = False
    zero: bool = False
    plus: bool = False
    minus: bool = False
    space: bool = False
    go_syntax: bool = False
    field_names: bool = False
    width: int | None = None
    precision: int | None = None


_PLAIN = Flags()


def sprint(values: Sequence[object]) -> str:
    """Print: a blank between neighbours of which neither is a string."""
    parts: list[str] = []
    was_string = True
    for value in values:
        is_string = isinstance(value, str)
        if parts and not is_string and not was_string:
            parts.append(" ")
        parts.append(show(value))
        was_string = is_string
    return "".join(parts)


def sprintln(values: Sequence[object]) -> str:
    return " ".join(map(show, values)) + "\n"


def show(value: object) -> str:
    """A value as ``%v`` prints it."""
    return value if type(value) is str else format_value(value, "v")


# --- one value ----------------------------------------------------------------------------------


def format_value(value: object, verb: str, flags: Flags = _PLAIN, depth: int = 0) -> str:
    """``value`` by a verb; a verb that does not fit is reported in the text, as Go does."""
    if depth > _MAX_DEPTH:
        return "..."
    if is_nil(value):
        return _nil(verb, flags, depth)
    if verb == "T":
        return _pad(_truncate(type_name(value), flags), flags)
    if isinstance(value, Stringer) and not flags.go_syntax and verb in "vsxXq":
        return _string(value.go_string(), verb, flags) or ""
    text = _simple(value, verb, flags)
    if text is not None:
        return text
    if verb == "p" or isinstance(value, str) or not isinstance(value, _COMPOSITES):
        return _bad_verb(value, verb, flags, depth)
    return _composite(value, verb, flags, depth)


def _nil(verb: str, flags: Flags, depth: int) -> str:
    if depth:
        return "interface {}(nil)" if flags.go_syntax else "<nil>"
    return _pad("<nil>", flags) if verb in "Tv" else f"%!{verb}(<nil>)"


def _bad_verb(value: object, verb: str, flags: Flags, depth: int) -> str:
    return f"%!{verb}({type_name(value)}={format_value(value, 'v', flags, depth)})"


def _simple(value: object, verb: str, flags: Flags) -> str | None:
    match value:
        case bool():
            return _pad("true" if value else "false", flags) if verb in "tv" else None
        case int():
            return _integer(value, verb, flags)
        case float():
            return _float(value, verb, flags)
        case complex():
            return _complex(value, verb, flags)
        case str():
            return _string(value, verb, flags)
    return None


def _composite(
    value: Mapping[str, object] | Sequence[object] | Struct, verb: str, flags: Flags, depth: int
) -> str:
    if isinstance(value, Struct):
        named = flags.field_names or flags.go_syntax
        parts = [
            (f"{name}:" if named else "") + format_value(part, verb, flags, depth + 1)
            for name, part in value.fields.items()
        ]
        if flags.go_syntax:
            return f"{value.type_name}{{{', '.join(parts)}}}"
        return "{" + " ".join(parts) + "}"
    if isinstance(value, Mapping):
        parts = [
            f"{format_value(key, verb, flags, depth + 1)}:"
            f"{format_value(part, verb, flags, depth + 1)}"
            for key, part in sorted_items(value)
        ]
        if flags.go_syntax:
            return f"{type_name(value)}{{{', '.join(parts)}}}"
        return f"map[{' '.join(parts)}]"
    parts = [format_value(part, verb, flags, depth + 1) for part in value]
    if flags.go_syntax:
        return f"{type_name(value)}{{{', '.join(parts)}}}"
    return f"[{' '.join(parts)}]"


def _pad(text: str, flags: Flags) -> str:
    if not flags.width:
        return text
    if flags.minus:
        return text.ljust(flags.width)
    return text.rjust(flags.width, "0" if flags.zero else " ")


def _truncate(text: str, flags: Flags) -> str:
    return text if flags.precision is None else text[: flags.precision]


def _string(value: str, verb: str, flags: Flags) -> str | None:
    if verb == "q" or (verb == "v" and flags.go_syntax):
        text = _truncate(value, flags)
        if flags.sharp and can_backquote(text):
            return _pad(f"`{text}`", flags)
        return _pad(quote(text, ascii_only=flags.plus), flags)
    if verb in "sv":
        return _pad(_truncate(value, flags), flags)
    if verb in "xX":
        data = to_bytes(value)[: flags.precision]
        prefix = "0x" if flags.sharp and data else ""
        text = prefix + (data.hex(" ").replace(" ", f" {prefix}") if flags.space else data.hex())
        return _pad(text.upper() if verb == "X" else text, flags)
    return None


def _integer(value: int, verb: str, flags: Flags) -> str | None:
    if verb == "c":
        return _pad(_char(value), flags)
    if verb == "q":
        return _pad(quote_char(ord(_char(value)), ascii_only=flags.plus), flags)
    if verb == "U":
        return _unicode(value, flags)
    base = _INTEGER_BASES.get(verb)
    if base is None:
        return None
    signed = value < 0 or flags.plus or flags.space
    if flags.precision == 0 and value == 0:
        return " " * (flags.width or 0)
    digits = format(abs(value), base)
    if flags.precision is not None:
        digits = digits.rjust(flags.precision, "0")
    elif flags.zero and not flags.minus and flags.width:
        digits = digits.rjust(flags.width - signed, "0")
    if flags.sharp:
        octal = "" if digits.startswith("0") else "0"
        digits = {"b": "0b", "o": octal, "x": "0x", "X": "0X"}.get(base, "") + digits
    if verb == "O":
        digits = "0o" + digits
    sign = "-" if value < 0 else "+" if flags.plus else " " if flags.space else ""
    return _pad(sign + digits, replace(flags, zero=False))


def _char(code: int) -> str:
    return chr(code) if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "\ufffd"


def _unicode(value: int, flags: Flags) -> str:
    value &= (1 << 64) - 1
    text = "U+" + format(value, "X").rjust(max(4, flags.precision or 0), "0")
    if flags.sharp and value <= 0x10FFFF and printable(chr(value)):
        text += f" '{chr(value)}'"
    return _pad(text, replace(flags, zero=False))


def _float(value: float, verb: str, flags: Flags) -> str | None:
    text = _unpadded_float(value, verb, flags)
    if text is None:
        return None
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("+", text)
    if flags.space and sign == "+" and not flags.plus:
        sign = " "
    shown_sign = sign if flags.plus or sign != "+" else ""
    if digits in ("Inf", "NaN"):
        if digits == "Inf":
            shown_sign = sign
        elif not (flags.space or flags.plus):
            shown_sign = ""
        return _pad(shown_sign + digits, replace(flags, zero=False))
    if flags.sharp and verb != "b":
        digits = _with_point(digits, verb, flags)
    if shown_sign and flags.zero and not flags.minus and flags.width:
        return shown_sign + digits.rjust(flags.width - 1, "0")
    return _pad(shown_sign + digits, flags)


def _unpadded_float(value: float, verb: str, flags: Flags) -> str | None:
    precision = -1 if flags.precision is None else flags.precision
    match verb:
        case "v" | "g" | "G":
            text = format_float(value, "g", precision)
        case "b":
            text = format_float(value, "b")
        case "x" | "X":
            text = format_float(value, "x", precision)
        case "e" | "E" | "f" | "F":
            default = 6 if precision < 0 else precision
            text = format_float(value, verb.lower(), default)
        case _:
            return None
    return text.upper() if verb in "EGX" and text[-1] not in "fN" else text


def _with_point(digits: str, verb: str, flags: Flags) -> str:
    """The ``#`` flag: always a decimal point, and the trailing zeros stay."""
    at = digits.lower().find("p" if verb in "xX" else "e")
    head, tail = (digits[:at], digits[at:]) if at >= 0 else (digits, "")
    wanted = 0
    if verb in "vgGx":
        wanted = 6 if flags.precision is None else flags.precision
    significant = head.replace(".", "").lstrip("0")
    missing = wanted - len(significant)
    if "." not in head:
        missing -= head == "0"
        head += "."
    return head + "0" * max(0, missing) + tail


def _complex(value: complex, verb: str, flags: Flags) -> str | None:
    real = _float(value.real, verb, flags)
    imaginary = _float(value.imag, verb, replace(flags, plus=True))
    return None if real is None or imaginary is None else f"({real}{imaginary}i)"
