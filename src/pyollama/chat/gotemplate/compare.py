"""Comparisons, by Go's rules: only values of one kind can be compared."""

from __future__ import annotations

from pyollama.chat.gotemplate.fmt import format_value
from pyollama.chat.gotemplate.quote import to_bytes
from pyollama.chat.gotemplate.values import FunctionError, Struct, is_nil, type_name


def _kind(value: object) -> str:
    """What a value can be compared with; "" for what cannot be compared."""
    for types, name in (
        (bool, "bool"),
        (int, "int"),
        (float, "float"),
        (complex, "complex"),
        (str, "string"),
    ):
        if isinstance(value, types):
            return name
    return ""


def equal(value: object, *others: object) -> bool:
    """Whether ``value`` equals one of the others."""
    if not others:
        raise FunctionError("missing argument for comparison")
    return any(_equal_pair(value, other) for other in others)


def _equal_pair(left: object, right: object) -> bool:
    kind = _kind(left)
    if kind != _kind(right):
        if is_nil(left) or is_nil(right):
            return False
        names = f"{type_name(left)} and {type_name(right)}"
        raise FunctionError(f"incompatible types for comparison: {names}")
    if kind:
        return left == right
    if is_nil(left) or is_nil(right):
        return is_nil(left) == is_nil(right)
    shown = format_value(right, "s")
    if type_name(left) != type_name(right):
        first = f"{format_value(left, 's')}: {type_name(left)}"
        raise FunctionError(f"non-comparable types {first}, {type_name(right)}: {shown}")
    if isinstance(right, Struct):
        return left is right
    raise FunctionError(f"non-comparable type {shown}: {type_name(right)}")


def less(left: object, right: object) -> bool:
    kinds = _kind(left), _kind(right)
    if not all(kinds):
        raise FunctionError("invalid type for comparison")
    if kinds[0] != kinds[1]:
        names = f"{type_name(left)} and {type_name(right)}"
        raise FunctionError(f"incompatible types for comparison: {names}")
    if isinstance(left, str) and isinstance(right, str):
        return to_bytes(left) < to_bytes(right)
    if kinds[0] in ("int", "float"):
        return left < right  # type: ignore[operator,no-any-return]  # both are numbers of one kind
    raise FunctionError("invalid type for comparison")


def less_or_equal(left: object, right: object) -> bool:
    return less(left, right) or equal(left, right)
