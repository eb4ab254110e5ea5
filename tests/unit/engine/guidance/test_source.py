"""Grammars in llguidance's words, and what is said about those that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llguidance import LLMatcher

from pyollama.engine.guidance.source import MOST_CHARACTERS, complaint, to_llguidance
from pyollama.types import Grammar


def _schema(**schema: Any) -> Grammar:
    return Grammar(json.dumps(schema), "json_schema")


def _refusal(grammar: Grammar) -> str:
    try:
        error = LLMatcher.validate_grammar(to_llguidance(grammar))
    except ValueError as refused:
        error = str(refused)
    return complaint(grammar, error) if error else ""


@pytest.mark.parametrize(
    "grammar",
    [
        Grammar(kind="json"),
        Grammar("[a-z]+", "regex"),
        Grammar('start: "a" /[0-9]+/', "lark"),
        _schema(),
        _schema(type="string", title="a", description="b", default="c", deprecated=True),
        _schema(
            oneOf=[{"type": "integer"}, {"type": "number"}], discriminator={"propertyName": "a"}
        ),
        _schema(**{"$defs": {"a": {"$ref": "#/$defs/a"}, "b": {"not": {}}}, "type": "string"}),
    ],
)
def test_grammars_that_can_be_followed(grammar: Grammar) -> None:
    assert _refusal(grammar) == ""


@pytest.mark.parametrize(
    ("grammar", "words"),
    [
        (_schema(type="array", uniqueItems=True), 'JSON schema uses "uniqueItems"'),
        (_schema(items={"not": {}, "if": {}}), 'uses "if", "not", which cannot be enforced'),
        (_schema(type="nothing"), "Invalid type: nothing"),
        (_schema(**{"$ref": "http://127.0.0.1/a"}), "not present in a registry"),
        (_schema(type="string", minLength=3, maxLength=2), "minLength"),
        (Grammar("[", "json_schema"), "JSON schema cannot be used"),
        (Grammar("[]", "json_schema"), "not an object"),
        (Grammar('{"items":' * 200 + "{}" + "}" * 200, "json_schema"), "levels deep"),
        (Grammar('{"items":' * 90000, "json_schema"), "nested too deeply"),
        (Grammar("(?=a)", "regex"), "look-around"),
        (Grammar("start: nothing", "lark"), "unknown name"),
        (Grammar("a" * (MOST_CHARACTERS + 1), "regex"), "longer than"),
        (Grammar('root ::= "a"'), "gbnf"),
    ],
)
def test_grammars_that_cannot(grammar: Grammar, words: str) -> None:
    assert words in _refusal(grammar)


def test_only_formats_that_are_known_count() -> None:
    """A property may be called "format", and constants may look like schemas."""
    note = {"type": "string", "format": "binary"}
    schema = {
        "properties": {"format": note, "date": {"format": "date"}, "fixed": {"const": note}},
        "anyOf": [{"items": note}],
    }
    (grammar,) = json.loads(to_llguidance(_schema(**schema)))["grammars"]
    kept = grammar["json_schema"]
    assert kept["properties"] == {
        "format": {"type": "string"},
        "date": {"format": "date"},
        "fixed": {"const": note},
    }
    assert kept["anyOf"] == [{"items": {"type": "string"}}]


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        ({"properties": {"a": {}}}, True),
        ({"allOf": [{"properties": {"a": {}}}]}, True),
        ({"items": {"anyOf": [{"properties": {}}, {"$ref": "#"}]}}, True),
        ({"properties": {}, "additionalProperties": {"type": "null"}}, False),
        ({"properties": {}, "patternProperties": {"^x": {}}}, False),
        ({"properties": {"a": {}}, "allOf": [{"properties": {"b": {}}}]}, False),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, False),
        ({"type": "object"}, False),
    ],
)
def test_objects_have_the_properties_that_are_named(schema: dict[str, Any], closed: bool) -> None:
    """As for Ollama: more of them only where the schema says so, or is put together from parts."""
    source = to_llguidance(_schema(**schema))
    assert ('"additionalProperties":false' in source) is closed
