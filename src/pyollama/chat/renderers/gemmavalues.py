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


def declaration(tool: Tool, mark: str, *, describes_all: bool = False) -> str:
    """``declaration:NAME{…}`` with upper-case types.

    ``describes_all`` writes a description where there is none, too.
    """
    schema = tool.parameters
    parts = []
    if properties := schema.get("properties"):
        parts.append(f"properties:{{{_properties(properties, mark, describes_all)}}}")
    parts += _required(schema, mark)
    if kind := schema.get("type"):
        parts.append(f"type:{_type(kind, mark)}")
    described = f"description:{value(tool.description, mark)}"
    return f"declaration:{tool.name}{{{described},parameters:{{{','.join(parts)}}}}}"


def _properties(properties: object, mark: str, describes_all: bool) -> str:
    if not isinstance(properties, Mapping):
        return ""
    return ",".join(
        f"{name}:{{{','.join(_property(properties[name], mark, describes_all))}}}"
        for name in sorted(properties)
        if isinstance(properties[name], Mapping)
    )


def _property(schema: JSON, mark: str, describes_all: bool) -> list[str]:
    parts = []
    description = schema.get("description") or ""
    if description or describes_all:
        parts.append(f"description:{value(description, mark)}")
    if choices := schema.get("enum"):
        parts.append(f"enum:{value(choices, mark)}")
    if isinstance(items := schema.get("items"), Mapping) and items:
        parts.append(f"items:{{{','.join(_property(dict(items), mark, False))}}}")
    if schema.get("nullable"):
        parts.append("nullable:true")
    if properties := schema.get("properties"):
        parts.append(f"properties:{{{_properties(properties, mark, describes_all)}}}")
    parts += _required(schema, mark)
    if kind := schema.get("type"):
        parts.append(f"type:{_type(kind, mark)}")
    return parts


def _required(schema: JSON, mark: str) -> list[str]:
    names = schema.get("required")
    return [f"required:{value(names, mark)}"] if names else []


def _type(kind: object, mark: str) -> str:
    """Several types stand in one text, as Python prints a list."""
    names = [str(each).upper() for each in kind] if isinstance(kind, list) else str(kind).upper()
    return value(str(names), mark)
