"""The functions that Ollama adds to Go's templates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from pyollama.chat.gojson import encode
from pyollama.chat.gotemplate import Function, FunctionError, Struct

_TYPESCRIPT = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "array": "any[]",
    "object": "Record<string, any>",
    "null": "null",
}


def _typescript(prop: object) -> str:
    """The TypeScript type of a tool's property."""
    if not isinstance(prop, Struct):
        raise FunctionError("the argument is not a property of a tool")
    alternatives = prop.fields.get("AnyOf")
    if isinstance(alternatives, list) and alternatives:
        return " | ".join(map(_typescript, alternatives))
    types = prop.fields.get("Type")
    names = [str(name) for name in types] if isinstance(types, list) else []
    return " | ".join(_TYPESCRIPT.get(name, "any") for name in names) or "any"


def _today(_format: object = None) -> str:
    return date.today().isoformat()


def _yesterday(_format: object = None) -> str:
    return (date.today() - timedelta(days=1)).isoformat()


FUNCTIONS: Mapping[str, Function] = {
    "json": Function(encode, 1, 1),
    "currentDate": Function(_today, 0, 1, strings=1),
    "yesterdayDate": Function(_yesterday, 0, 1, strings=1),
    "toTypeScriptType": Function(_typescript, 1, 1),
}
