"""Calls that are JSON objects with a name and arguments."""

from __future__ import annotations

import msgspec

from pyollama.types import JSON


def read_call(block: str) -> list[tuple[str, JSON]]:
    """The call in ``{"name": …, "arguments": {…}}``; nothing if it is none."""
    return _calls(_decoded(block), "name", "arguments")


def read_action(block: str) -> list[tuple[str, JSON]]:
    """The calls in Cohere's ``[{"tool_name": …, "parameters": {…}}, …]``."""
    decoded = _decoded(block)
    items = decoded if isinstance(decoded, list) else [decoded]
    found = [_calls(item, "tool_name", "parameters") for item in items]
    return [call for calls in found for call in calls] if all(found) else []


def decoded_object(text: str) -> JSON | None:
    value = _decoded(text)
    return value if isinstance(value, dict) else None


def _calls(item: object, name_key: str, arguments_key: str) -> list[tuple[str, JSON]]:
    if not isinstance(item, dict):
        return []
    name, arguments = item.get(name_key), item.get(arguments_key, {})
    if isinstance(arguments, str):
        arguments = decoded_object(arguments)
    if not isinstance(name, str) or not name.strip() or not isinstance(arguments, dict):
        return []
    return [(name.strip(), arguments)]


def _decoded(text: str) -> object:
    try:
        return msgspec.json.decode(text.strip())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
