"""Go's view of Python values.

==================  =====================================================
``str``             ``string`` (see :mod:`.quote` for bytes that are not UTF-8)
``bool``            ``bool``
``int``             ``int``
``float``           ``float64``
``complex``         ``complex128``
``dict``            ``map[string]interface {}``; always in the order of its keys
``list``, ``tuple`` ``[]interface {}``
``Struct``          a struct
``None``            a nil interface
``INVALID``         no value at all: what a pipeline makes of nil
==================  =====================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import pairwise
from typing import Final, Protocol, runtime_checkable

from pyollama.chat.gotemplate.quote import from_bytes, to_bytes


class _Invalid(Enum):
    INVALID = "<no value>"


INVALID: Final = _Invalid.INVALID


class FunctionError(Exception):
    """What a template function complains about."""


@runtime_checkable
class Stringer(Protocol):
    """A value with a text of its own: that is printed instead of its parts."""

    def go_string(self) -> str: ...


class Struct:
    """A value with a fixed set of fields; asking for another one is an error."""

    __slots__ = ("fields", "type_name")

    def __init__(self, type_name: str, fields: Mapping[str, object]) -> None:
        self.type_name = type_name
        self.fields = fields


def type_name(value: object) -> str:
    """The name of the type in Go."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int():
            return "int"
        case float():
            return "float64"
        case complex():
            return "complex128"
        case Mapping():
            return "map[string]interface {}"
        case Sequence():
            return "[]interface {}"
        case Struct():
            return value.type_name
    return "nil"


def is_nil(value: object) -> bool:
    return value is None or value is INVALID


def is_true(value: object) -> bool:
    """Whether ``if`` takes the value for true: anything but nil, zero and empty."""
    if is_nil(value):
        return False
    if isinstance(value, Struct):
        return True
    return bool(value)


def sorted_items(value: Mapping[str, object]) -> list[tuple[str, object]]:
    """The entries of a map in the order of the bytes of their keys."""
    return sorted(value.items(), key=lambda item: to_bytes(item[0]))


def length(value: object) -> int:
    if value is None:
        raise FunctionError("len of nil pointer")
    if value is INVALID:
        raise FunctionError("reflect: call of reflect.Value.Type on zero Value")
    if isinstance(value, str):
        return len(value) if value.isascii() else len(to_bytes(value))
    if isinstance(value, Mapping | Sequence):
        return len(value)
    raise FunctionError(f"len of type {type_name(value)}")


def _index_number(index: object, size: int) -> int:
    if is_nil(index):
        raise FunctionError("cannot index slice/array with nil")
    if not isinstance(index, int) or isinstance(index, bool):
        raise FunctionError(f"cannot index slice/array with type {type_name(index)}")
    if not 0 <= index <= size:
        raise FunctionError(f"index out of range: {index}")
    return index


def index(value: object, *path: object) -> object:
    """``value[a][b]...``"""
    if is_nil(value):
        raise FunctionError("index of untyped nil")
    for step in path:
        if is_nil(value):
            raise FunctionError("index of nil pointer")
        value = _index_once(value, step)
    return value


def _index_once(value: object, step: object) -> object:
    if isinstance(value, Mapping):
        if is_nil(step):
            raise FunctionError("value is nil; should be of type string")
        if not isinstance(step, str):
            raise FunctionError(f"value has type {type_name(step)}; should be string")
        return value.get(step)
    items: Sequence[object] = to_bytes(value) if isinstance(value, str) else ()
    if isinstance(value, Sequence) and not isinstance(value, str):
        items = value
    elif not isinstance(value, str):
        raise FunctionError(f"can't index item of type {type_name(value)}")
    number = _index_number(step, len(items))
    if number == len(items):
        what = "string" if isinstance(value, str) else "slice"
        raise FunctionError(f"reflect: {what} index out of range")
    return items[number]


def slice_value(value: object, *bounds: object) -> object:
    """``value[a:b]`` or ``value[a:b:c]``"""
    if is_nil(value):
        raise FunctionError("slice of untyped nil")
    if len(bounds) > 3:
        raise FunctionError(f"too many slice indexes: {len(bounds)}")
    if isinstance(value, str):
        if len(bounds) == 3:
            raise FunctionError("cannot 3-index slice a string")
        items: Sequence[object] = to_bytes(value)
    elif isinstance(value, Sequence):
        items = value
    else:
        raise FunctionError(f"can't slice item of type {type_name(value)}")
    limits = [0, len(items)]
    for position, bound in enumerate(bounds):
        limits[position : position + 1] = [_index_number(bound, len(items))]
    for low, high in pairwise(limits):
        if low > high:
            raise FunctionError(f"invalid slice index: {low} > {high}")
    part = items[limits[0] : limits[1]]
    return from_bytes(part) if isinstance(part, bytes) else part
