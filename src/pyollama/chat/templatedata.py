"""Messages and tools as a template sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pyollama.chat.gojson import JSONList, JSONMap, JSONStruct
from pyollama.chat.gotemplate import Struct
from pyollama.types import Message, Tool, ToolCall

_PARAMETER_KEYS = ("type", "$defs", "items", "required", "properties")
_PROPERTY_KEYS = ("anyOf", "type", "items", "description", "enum", "properties", "required")

# Templates ask how many files there are; what is in them is not for prompts.
_IMAGE = Struct("template.ImageData", {})


class PropertyType(list[object]):
    """The types a property may have; a single one prints as the bare word."""

    def go_string(self) -> str:
        words = " ".join(map(str, self))
        return words if len(self) == 1 else f"[{words}]"


def message_value(message: Message) -> Struct:
    return Struct(
        "*template.Message",
        {
            "Role": message.role,
            "Content": message.content,
            "Thinking": message.thinking,
            "Images": [_IMAGE] * len(message.images),
            "ToolCalls": [_call_value(call) for call in message.tool_calls],
            "ToolName": message.tool_name,
            "ToolCallID": message.tool_call_id,
        },
    )


def _call_value(call: ToolCall) -> Struct:
    function = {
        "Index": call.index,
        "Name": call.name,
        "Arguments": JSONMap(call.arguments),
    }
    entries = [("index", call.index), ("name", call.name), ("arguments", function["Arguments"])]
    inner = JSONStruct("template.ToolCallFunction", function, entries)
    outer: list[tuple[str, object]] = [("id", call.id)] if call.id else []
    outer.append(("function", inner))
    return JSONStruct("template.ToolCall", {"ID": call.id, "Function": inner}, outer)


def tools_value(tools: Sequence[Tool]) -> JSONList | None:
    """``None``, which is false, if there are none."""
    return JSONList([_tool_value(tool) for tool in tools]) if tools else None


def _tool_value(tool: Tool) -> JSONStruct:
    parameters = _parameters_value(tool.parameters)
    function = JSONStruct(
        "template.ToolFunction",
        {"Name": tool.name, "Description": tool.description, "Parameters": parameters},
        [("name", tool.name), ("description", tool.description), ("parameters", parameters)],
    )
    return JSONStruct(
        "template.Tool",
        {"Type": tool.type, "Items": None, "Function": function},
        [("type", tool.type), ("function", function)],
    )


def _parameters_value(schema: Mapping[str, object]) -> JSONStruct:
    kind = schema.get("type")
    properties = _properties_value(schema.get("properties"))
    fields: dict[str, object] = {
        "Type": kind if isinstance(kind, str) else "",
        "Defs": schema.get("$defs"),
        "Items": schema.get("items"),
        "Required": schema.get("required"),
        "Properties": properties,
    }
    entries: list[tuple[str, object]] = [("type", schema.get("type", ""))]
    entries += _present(schema, ("$defs", "items", "required"))
    entries.append(("properties", properties))
    return JSONStruct("template.ToolParameters", fields, entries + _others(schema, _PARAMETER_KEYS))


def _properties_value(properties: object) -> JSONMap | None:
    if not isinstance(properties, Mapping):
        return None
    return JSONMap({name: _property_value(schema) for name, schema in properties.items()})


def _property_value(schema: object) -> object:
    if not isinstance(schema, Mapping):
        return schema  # "true" and "false" are schemas too
    kind = schema.get("type")
    alternatives = schema.get("anyOf")
    required = schema.get("required")
    values: dict[str, object] = {
        **schema,
        "anyOf": [_property_value(part) for part in _items(alternatives)],
        "properties": _properties_value(schema.get("properties")),
    }
    fields = {
        "Type": PropertyType([kind] if isinstance(kind, str) else _items(kind)),
        "Description": schema.get("description", ""),
        "Enum": schema.get("enum"),
        "Items": schema.get("items"),
        "AnyOf": values["anyOf"],
        "Properties": values["properties"],
        "Required": required,
    }
    entries = _present(values, _PROPERTY_KEYS) + _others(schema, _PROPERTY_KEYS)
    return JSONStruct("template.ToolProperty", fields, entries)


def _items(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _present(values: Mapping[str, object], keys: Iterable[str]) -> list[tuple[str, object]]:
    """The members that say something, as Go leaves empty ones out."""
    return [(key, values[key]) for key in keys if values.get(key) not in (None, "", [], {})]


def _others(schema: Mapping[str, object], known: Sequence[str]) -> list[tuple[str, object]]:
    """Keywords that Ollama drops; a model is better off with them."""
    return [(key, value) for key, value in schema.items() if key not in known]
