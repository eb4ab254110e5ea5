"""Tools and values as JSON in prompts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pyollama.types import JSON, Tool

_PARAMETERS = ("type", "$defs", "items", "required", "properties")
_PROPERTY = ("anyOf", "type", "items", "description", "enum", "properties", "required")


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def spaced(value: object) -> str:
    """With a blank behind commas and colons, as most models saw it in training."""
    return json.dumps(value, ensure_ascii=False)


def indented(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=4)


def plain(value: object) -> str:
    """A text as it is, everything else as compact JSON."""
    return value if isinstance(value, str) else compact(value)


def spaced_plain(value: object) -> str:
    return value if isinstance(value, str) else spaced(value)


def declaration(tool: Tool) -> JSON:
    """The tool in Ollama's order of keys; keywords that Ollama does not know stand behind."""
    return {"type": tool.type, "function": function(tool)}


def function(tool: Tool) -> JSON:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "parameters": parameters(tool)}


def parameters(tool: Tool) -> JSON:
    schema = tool.parameters
    ordered = {"type": schema.get("type", ""), **_ordered(schema, _PARAMETERS)}
    return ordered | {"properties": ordered.get("properties", schema.get("properties"))}


def _ordered(schema: Mapping[str, object], keys: Iterable[str]) -> JSON:
    known = {key: schema[key] for key in keys if schema.get(key) not in (None, "", [], {})}
    if isinstance(properties := known.get("properties"), Mapping):
        known["properties"] = {
            name: _ordered(each, _PROPERTY) if isinstance(each, Mapping) else each
            for name, each in properties.items()
        }
    return known | {key: value for key, value in schema.items() if key not in keys}
