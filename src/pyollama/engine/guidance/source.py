"""Grammars in the words of llguidance, and its complaints in ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llguidance import LLMatcher

from pyollama.types import JSON, Grammar

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

WHITESPACE = r" |\n[ \t]{0,20}"
"""What may stand between two parts of a JSON text: enough to be readable, and never endless."""

MOST_CHARACTERS = 1 << 20

FORMATS = frozenset(
    "date-time time date duration email hostname ipv4 ipv6 uuid uri unknown".split()
)
"""Values of ``format`` that are enforced. The others only describe, as the standard has it."""

_OPTIONS: JsonCompileOptions = {"whitespace_pattern": WHITESPACE, "coerce_one_of": True}
_SCHEMAS = frozenset(
    "additionalItems additionalProperties allOf anyOf items oneOf prefixItems".split()
)
_NAMED_SCHEMAS = frozenset("$defs definitions patternProperties properties".split())
_COMBINING = ("$ref", "allOf", "anyOf", "oneOf")
_MOST_DEPTH = 64


def to_llguidance(grammar: Grammar) -> str:
    """The same grammar for llguidance; raises ``ValueError`` where it is not one."""
    if len(grammar.text) > MOST_CHARACTERS:
        raise ValueError(f"it is longer than {MOST_CHARACTERS} characters")
    match grammar.kind:
        case "json":
            return LLMatcher.grammar_from_json_schema({"type": "object"}, overrides=_OPTIONS)
        case "json_schema":
            schema = _prepared(_parsed(grammar.text))
            return LLMatcher.grammar_from_json_schema(schema, overrides=_OPTIONS)
        case "regex":
            return LLMatcher.grammar_from_regex(grammar.text)
        case "lark":
            return LLMatcher.grammar_from_lark(grammar.text)
        case other:
            raise ValueError(f"a grammar of kind {other} is not guided")


def complaint(grammar: Grammar, error: str) -> str:
    """What is wrong with ``grammar``, in a sentence."""
    names = {"json_schema": "JSON schema", "regex": "regular expression", "lark": "Lark grammar"}
    what = names.get(grammar.kind, "grammar")
    unknown = re.search(r"Unimplemented keys: (\[.*?\])", error)
    if unknown is not None:
        keys = ", ".join(f'"{key}"' for key in json.loads(unknown[1]))
        return f"the {what} uses {keys}, which cannot be enforced"
    return f"the {what} cannot be used: {error.removesuffix('<non-verbose/>').strip()}"


def _parsed(text: str) -> JSON:
    try:
        schema = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(schema, dict):
        raise ValueError("it is not an object")
    return schema


def _prepared(schema: JSON) -> JSON:
    """``schema`` as it is meant: ``format`` only where somebody checks it, and objects closed."""
    close = not any(_combines(part) for part in _parts(schema, 0))
    for part in _parts(schema, 0):
        if str(part.get("format")) not in FORMATS:
            part.pop("format", None)
        if close and "properties" in part and "patternProperties" not in part:
            part.setdefault("additionalProperties", False)
    return schema


def _combines(part: JSON) -> bool:
    """Whether objects are put together out of several schemas, none of which may be closed."""
    parts = part.get("allOf")
    several = isinstance(parts, list) and len(parts) > 1
    return several or ("properties" in part and any(key in part for key in _COMBINING))


def _parts(schema: Any, depth: int) -> Iterator[JSON]:
    """``schema`` and all schemas in it; what only looks like one, in a constant, is none."""
    if depth > _MOST_DEPTH:
        raise ValueError(f"it is nested more than {_MOST_DEPTH} levels deep")
    if isinstance(schema, list):
        for item in schema:
            yield from _parts(item, depth + 1)
    if not isinstance(schema, dict):
        return
    yield schema
    for key in _SCHEMAS & schema.keys():
        yield from _parts(schema[key], depth + 1)
    for key in _NAMED_SCHEMAS & schema.keys():
        named = schema[key]
        yield from _parts(list(named.values()) if isinstance(named, dict) else None, depth)
