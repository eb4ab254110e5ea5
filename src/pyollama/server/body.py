"""Request bodies, read the way Go's JSON decoder reads them, because that is what clients rely on.

The content type does not matter. Keys match in any case, unknown ones are ignored, ``null`` means
absent. Only the first JSON value counts; of repeated keys the last wins, repeated objects are
merged. Bytes that are not UTF-8 become U+FFFD, as do lone surrogates.
"""

from __future__ import annotations

import json
import re
from functools import cache
from types import GenericAlias, UnionType
from typing import Any, NoReturn, TypeVar, Union, get_args, get_origin

import msgspec

from pyollama.errors import InvalidRequest

T = TypeVar("T", bound=msgspec.Struct)

MAX_DEPTH = 128
"""How deep lists and objects may lie in one another. Go stops at 10 000, which no schema needs."""

_BLANK = " \t\r\n"
_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_body(body: bytes, schema: type[T]) -> T:
    """``body`` as ``schema``, or :class:`InvalidRequest`."""
    value = parse_json(body)
    if value is None:
        value = {}
    try:
        return msgspec.convert(fold(value, schema), schema)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"request body: {error}", field=_field(str(error))) from error


def parse_json(body: bytes) -> Any:
    """The first JSON value in ``body``; what follows it is ignored."""
    text = body.decode("utf-8", "replace").lstrip(_BLANK)
    if not text:
        raise InvalidRequest("missing request body", field="body")
    try:
        value, _ = _DECODER.raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"request body is not valid JSON: {error}", field="body") from error
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return _without_surrogates(value) if "\\u" in text else value


def fold(value: Any, schema: Any) -> Any:
    """``value`` with the keys of every known object spelt as ``schema`` spells them, nulls gone."""
    shape = _shape(schema)
    if isinstance(shape, _Items) and isinstance(value, list):
        return [fold(item, shape.schema) for item in value]
    if not isinstance(shape, dict) or not isinstance(value, dict):
        return value
    known: dict[str, Any] = {}
    for key, item in value.items():
        field = shape.get(key.casefold())
        if field is not None and item is not None:
            name, inner = field
            known[name] = _merged(known.get(name), fold(item, inner))
    return known


class _Items(msgspec.Struct, frozen=True):
    """A list whose items have keys to be folded."""

    schema: Any


@cache
def _shape(schema: Any) -> dict[str, tuple[str, Any]] | _Items | None:
    """What :func:`fold` has to know of a type: the keys of a struct, the items of a list."""
    origin = get_origin(schema)
    if origin in (Union, UnionType):
        return next((s for s in map(_shape, get_args(schema)) if s is not None), None)
    if origin in (list, tuple) and isinstance(schema, GenericAlias):
        inner = get_args(schema)[0]
        return _Items(inner) if _shape(inner) is not None else None
    if isinstance(schema, type) and issubclass(schema, msgspec.Struct):
        fields = msgspec.structs.fields(schema)
        return {f.encode_name.casefold(): (f.encode_name, f.type) for f in fields}
    return None


def _merged(before: Any, after: Any) -> Any:
    """What a repeated key comes to; changes ``before``, since a copy for each would be dear."""
    if isinstance(before, dict) and isinstance(after, dict):
        before.update(after)
        return before
    return after


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        value.clear()
        for key, item in pairs:
            value[key] = _merged(value.get(key), item)
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)


def _check_depth(value: Any) -> None:
    """Whatever walks through the value later may do so by recursion."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        inner = (node.values() if isinstance(node, dict) else node for node in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return
    raise InvalidRequest(f"request body is nested deeper than {MAX_DEPTH} levels", field="body")


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value


def _field(message: str) -> str:
    """The field that a msgspec message ends with: ``… - at `$.messages[0].role```."""
    _, _, path = message.rpartition("`$")
    return path.strip("`.") or "body"
