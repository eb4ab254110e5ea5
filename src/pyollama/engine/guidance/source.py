"""Grammars in the words of llguidance, and its complaints in ours."""

from __future__ import annotations

import json
import re
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
_MOST_DEPTH = 64


def to_llguidance(grammar: Grammar) -> str:
    """The same grammar for llguidance; raises ``ValueError`` where it is not one."""
    if len(grammar.text) > MOST_CHARACTERS:
        raise ValueError(f"it is longer than {MOST_CHARACTERS} characters")
    match grammar.kind:
        case "json":
            return LLMatcher.grammar_from_json_schema({"type": "object"}, overrides=_OPTIONS)
        case "json_schema":
            schema = _without_notes(_parsed(grammar.text), 0)
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


def _without_notes(schema: Any, depth: int) -> Any:
    """``schema`` without the values of ``format`` that nobody checks."""
    if depth > _MOST_DEPTH:
        raise ValueError(f"it is nested more than {_MOST_DEPTH} levels deep")
    if isinstance(schema, list):
        return [_without_notes(item, depth + 1) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _inner(key, value, depth)
        for key, value in schema.items()
        if key != "format" or value in FORMATS
    }


def _inner(key: str, value: Any, depth: int) -> Any:
    if key in _SCHEMAS:
        return _without_notes(value, depth + 1)
    if key in _NAMED_SCHEMAS and isinstance(value, dict):
        return {name: _without_notes(item, depth + 1) for name, item in value.items()}
    return value
