"""JSON as Ollama stores it, so that equal content gives equal digests in both programs."""

from __future__ import annotations

import msgspec

MAX_DEPTH = 128

_ESCAPES = (
    (b"<", rb"\u003c"),
    (b">", rb"\u003e"),
    (b"&", rb"\u0026"),
    ("\u2028".encode(), rb"\u2028"),
    ("\u2029".encode(), rb"\u2029"),
)


def encode_json(value: object) -> bytes:
    """Compact JSON with a newline, and the characters escaped that matter inside HTML."""
    text = msgspec.json.encode(value)
    for character, escape in _ESCAPES:  # none of them occurs outside of a JSON string
        text = text.replace(character, escape)
    return text + b"\n"


def check_depth(value: object) -> None:
    """Raise ``RecursionError`` for lists and objects deeper in one another than any model's."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH + 1):
        inner = (node.values() if isinstance(node, dict) else node for node in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return
    raise RecursionError(f"nested deeper than {MAX_DEPTH} levels")


def plain_numbers(value: object) -> object:
    """``value`` with whole floats as integers, which is how Ollama writes them."""
    match value:
        case float() if value.is_integer() and abs(value) < 1e21:
            return int(value)
        case dict():
            return {key: plain_numbers(item) for key, item in value.items()}
        case list() | tuple():
            return [plain_numbers(item) for item in value]
    return value
