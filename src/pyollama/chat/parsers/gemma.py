"""The calls of Gemma 4 and FunctionGemma: ``call:NAME{key:value,…}`` with marks for quotes."""

from __future__ import annotations

from pyollama.chat.parsers.blocks import ReadBlock
from pyollama.chat.parsers.scanner import MAX_DEPTH, NotThisNotation, Scanner, literal
from pyollama.types import JSON


def reader(mark: str) -> ReadBlock:
    """Reads blocks whose texts stand between two ``mark``.

    A mark or a brace that is missing at the end, as small models forget it, is put there.
    """

    def read(block: str) -> list[tuple[str, JSON]]:
        text = block.strip()
        attempts = (_call(text + forgotten, mark) for forgotten in ("", "}", f"{mark}}}"))
        return next((call for call in attempts if call), [])

    return read


def _call(text: str, mark: str) -> list[tuple[str, JSON]]:
    scanner = Scanner(text)
    try:
        scanner.take("call:")
        name = scanner.before("{").strip()
        arguments = _object(scanner, mark, 0)
    except NotThisNotation:
        return []
    return [(name, arguments)] if name and not scanner.rest else []


def _object(scanner: Scanner, mark: str, depth: int) -> JSON:
    if depth > MAX_DEPTH:
        raise NotThisNotation("nested too deeply")
    members: JSON = {}
    for _ in scanner.items("}"):
        key = scanner.before(mark) if scanner.sees(mark) else scanner.until(":,}").strip()
        scanner.take(":")
        members[key.strip('"')] = _value(scanner, mark, depth + 1)
    return members


def _value(scanner: Scanner, mark: str, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise NotThisNotation("nested too deeply")
    scanner.space()
    for quote in (mark, '"', "'"):
        if scanner.sees(quote):
            return scanner.before(quote)
    if scanner.sees("{"):
        return _object(scanner, mark, depth)
    if scanner.sees("["):
        return [_value(scanner, mark, depth + 1) for _ in scanner.items("]")]
    word = scanner.until(",}]").strip()
    if not word:
        raise NotThisNotation("a value")
    return literal(word)
