"""Arguments that are written as plain text get their types from the tool's schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from pyollama.types import Tool


def declared_types(tools: Sequence[Tool], name: str) -> Mapping[str, frozenset[str]]:
    """The types of each parameter of the tool ``name``; nothing if it is not declared."""
    schema = next((tool.parameters for tool in tools if tool.name == name), {})
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {key: frozenset(_types(value)) for key, value in properties.items()}


def _types(schema: object) -> set[str]:
    if not isinstance(schema, dict):
        return set()
    kind = schema.get("type")
    found = {kind} if isinstance(kind, str) else set(kind) if isinstance(kind, list) else set()
    alternatives = schema.get("anyOf")
    for alternative in alternatives if isinstance(alternatives, list) else ():
        found |= _types(alternative)
    return {name for name in found if isinstance(name, str)}


def typed_value(text: str, types: frozenset[str]) -> object:
    """``text`` as the first of its declared types that it can be; itself if it can be none."""
    if text.lower() == "null":
        return None
    if "boolean" in types and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if types == {"boolean"}:
        return False
    for name, kinds in _DECODED.items():
        if name in types and (value := _decoded(text, kinds)) is not None:
            return int(value) if isinstance(value, float) and value.is_integer() else value
    return text


_DECODED: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}


def _decoded(text: str, kinds: tuple[type, ...]) -> object:
    """``text`` read as JSON, if that gives one of ``kinds``."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return value if isinstance(value, kinds) and not isinstance(value, bool) else None
