"""Values as Go's ``encoding/json`` writes them: compact, maps sorted, HTML characters escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from pyollama.chat.gotemplate import FunctionError, Struct
from pyollama.chat.gotemplate.floats import format_float
from pyollama.chat.gotemplate.quote import clean
from pyollama.chat.gotemplate.values import is_nil, sorted_items

_MAX_DEPTH = 100
_HTML = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_EXPONENT = re.compile(r"e([+-])0*(\d)")


class JSONStruct(Struct):
    """A struct that prints as JSON; ``entries`` are the members, in order."""

    __slots__ = ("entries",)

    def __init__(
        self,
        type_name: str,
        fields: Mapping[str, object],
        entries: Sequence[tuple[str, object]],
    ) -> None:
        super().__init__(type_name, fields)
        self.entries = entries

    def go_string(self) -> str:
        return encode(self)


class JSONMap(dict[str, object]):
    """A map that prints as JSON."""

    def go_string(self) -> str:
        return encode(self)


class JSONList(list[object]):
    """A list that prints as JSON."""

    def go_string(self) -> str:
        return encode(self)


def encode(value: object, depth: int = 0) -> str:
    """Raises ``FunctionError`` for what JSON cannot hold, and for nesting without end."""
    if depth > _MAX_DEPTH:
        raise FunctionError("json: value is nested too deeply")
    match value:
        case str() | bool() | int() | float():
            return _scalar(value)
        case JSONStruct():
            return _object(value.entries, depth)
        case Struct():
            return _object(value.fields.items(), depth)
        case Mapping():
            return _object(sorted_items(value), depth)
        case Sequence():
            return "[" + ",".join(encode(item, depth + 1) for item in value) + "]"
    if is_nil(value):
        return "null"
    raise FunctionError("json: unsupported type")


def _scalar(value: str | bool | int | float) -> str:
    if isinstance(value, str):
        return json.dumps(clean(value), ensure_ascii=False).translate(_HTML)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else _float(value)


def _object(entries: Iterable[tuple[str, object]], depth: int) -> str:
    members = (f"{encode(key)}:{encode(item, depth + 1)}" for key, item in entries)
    return "{" + ",".join(members) + "}"


def _float(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        raise FunctionError(f"json: unsupported value: {format_float(value)}")
    verb = "f" if value == 0 or 1e-6 <= abs(value) < 1e21 else "e"
    text = format_float(value, verb)
    return _EXPONENT.sub(r"e\1\2", text) if verb == "e" else text
