"""The notation in which Gemma's models read tools and values.

It looks like JSON with bare keys; a mark of the family's own stands in place of quotes.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyollama.chat.renderers.jsontext import compact
from pyollama.types import JSON, Tool


def value(item: object, mark: str) -> str:
    """Keys of objects are sorted."""
    if isinstance(item, str):
        return f"{mark}{item}{mark}"
    if isinstance(item, Mapping):
        return f"{{{members(item, mark)}}}"
    if isinstance(item, list):
        return f"[{','.join(value(each, mark) for each in item)}]"
    return compact(item)


def members(items: Mapping[str, object], mark: str) -> str:
    return ",".join(f"{key}:{value(items[key], mark)}" for key in sorted(items))


def declaration(tool: Tool, mark: str) -> str:
    """``declaration:NAME{…}`` with upper-case types."""
    schema = tool.parameters
    parts = []
    if properties := schema.get("properties"):
        parts.append(f"properties:{{{_properties(properties, mark)}}}")
    parts += _required(schema, mark)
    if kind := schema.get("type"):
        parts.append(f"type:{_type(kind, mark)}")
    described = f"description:{value(tool.description, mark)}"
    return f"declaration:{tool.name}{{{described},parameters:{{{','.join(parts)}}}}}"


def _properties(properties: object, mark: str) -> str:
    if not isinstance(properties, Mapping):
        return ""
    return ",".join(
        f"{name}:{{{','.join(_property(properties[name], mark))}}}"
        for name in sorted(properties)
        if isinstance(properties[name], Mapping)
    )


def _property(schema: JSON, mark: str) -> list[str]:
    parts = []
    if description := schema.get("description"):
        parts.append(f"description:{value(description, mark)}")
    if choices := schema.get("enum"):
        parts.append(f"enum:{value(choices, mark)}")
    if isinstance(items := schema.get("items"), Mapping) and items:
        parts.append(f"items:{{{','.join(_property(dict(items), mark))}}}")
    if schema.get("nullable"):
        parts.append("nullable:true")
    if properties := schema.get("properties"):
        parts.append(f"properties:{{{_properties(properties, mark)}}}")
    parts += _required(schema, mark)
    if kind := schema.get("type"):
        parts.append(f"type:{_type(kind, mark)}")
    return parts


def _required(schema: JSON, mark: str) -> list[str]:
    names = schema.get("required")
    return [f"required:{value(names, mark)}"] if names else []


def _type(kind: object, mark: str) -> str:
    if isinstance(kind, list):
        return value([str(each).upper() for each in kind], mark)
    return value(str(kind).upper(), mark)
