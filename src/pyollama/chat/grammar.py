"""Grammars for answers in a given format."""

from __future__ import annotations

import json
from collections.abc import Callable

from pyollama.errors import InvalidOption
from pyollama.types import JSON, Grammar

SchemaToGrammar = Callable[[str], str]
"""Turns a JSON schema, as text, into GBNF; raises ``InvalidGrammar``."""

# White space is kept short, so that a model cannot fill its answer with it.
JSON_OBJECT = r"""
root    ::= "{" space ( member ( "," space member )* )? "}"
member  ::= string ":" space value
value   ::= ( object | array | string | number | "true" | "false" | "null" ) space
object  ::= "{" space ( member ( "," space member )* )? "}"
array   ::= "[" space ( value ( "," space value )* )? "]"
string  ::= "\"" ( [^"\\\x00-\x1F\x7F] | "\\" ( ["\\/bfnrt] | "u" hex hex hex hex ) )* "\""
hex     ::= [0-9a-fA-F]
number  ::= "-"? ( "0" | [1-9] [0-9]{0,15} ) ( "." [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,3} )?
space   ::= "" | " " | "\n" [ \t]{0,20}
""".strip()


def format_grammar(wanted: str | JSON | None, schema_to_grammar: SchemaToGrammar) -> Grammar | None:
    """The grammar for the "format" of a request: "json", a JSON schema, or nothing."""
    if wanted is None or wanted == "":
        return None
    if wanted == "json":
        return Grammar(JSON_OBJECT)
    if isinstance(wanted, dict):
        return Grammar(schema_to_grammar(json.dumps(wanted)))
    raise invalid_format(wanted)


def invalid_format(wanted: object) -> InvalidOption:
    shown = json.dumps(json.dumps(wanted))
    return InvalidOption(
        f'invalid format: {shown}; expected "json" or a valid JSON Schema object', field="format"
    )
