"""What the "format" of a request asks of the answer."""

from __future__ import annotations

import json

from pyollama.errors import InvalidOption
from pyollama.types import JSON, Grammar


def format_grammar(wanted: str | JSON | None) -> Grammar | None:
    """The grammar for "json", for a JSON schema (the order of its keys is kept), or for nothing."""
    if wanted is None or wanted == "":
        return None
    if wanted == "json":
        return Grammar(kind="json")
    if isinstance(wanted, dict):
        return Grammar(json.dumps(wanted), "json_schema")
    raise invalid_format(wanted)


def invalid_format(wanted: object) -> InvalidOption:
    shown = json.dumps(json.dumps(wanted))
    return InvalidOption(
        f'invalid format: {shown}; expected "json" or a valid JSON Schema object', field="format"
    )
