"""Calls that are written as function calls of Python with named arguments."""

from __future__ import annotations

import re

from pyollama.chat.parsers.scanner import MAX_DEPTH, NotThisNotation, Scanner, literal
from pyollama.types import JSON

_NAME = re.compile(r"[^\s()\[\],=]+")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}


def read_calls(text: str) -> list[tuple[str, JSON]]:
    """All calls in ``text``, which may be a list of them; nothing if any of it is not a call."""
    scanner = Scanner(text.strip())
    calls: list[tuple[str, JSON]] = []
    try:
        if scanner.sees("["):
            for _ in scanner.items("]"):
                calls.append(_call(scanner))
        while scanner.at < len(scanner.text):
            calls.append(_call(scanner))
            scanner.space()
            scanner.sees(",")
            scanner.space()
    except NotThisNotation:
        return []
    return calls


def _call(scanner: Scanner) -> tuple[str, JSON]:
    name = _name(scanner)
    scanner.take("(")
    arguments: JSON = {}
    for _ in scanner.items(")"):
        key = _name(scanner)
        scanner.space()
        scanner.take("=")
        arguments[key] = _value(scanner, 0)
    return name, arguments


def _name(scanner: Scanner) -> str:
    scanner.space()
    found = _NAME.match(scanner.text, scanner.at)
    if found is None:
        raise NotThisNotation("a name")
    scanner.at = found.end()
    return found[0]


def _value(scanner: Scanner, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise NotThisNotation("nested too deeply")
    scanner.space()
    for quote in ('"', "'"):
        if scanner.sees(quote):
            return _text(scanner, quote)
    if scanner.sees("["):
        return [_value(scanner, depth + 1) for _ in scanner.items("]")]
    if scanner.sees("("):
        return [_value(scanner, depth + 1) for _ in scanner.items(")")]
    if scanner.sees("{"):
        return dict(_member(scanner, depth + 1) for _ in scanner.items("}"))
    word = scanner.until(",)]}").strip()
    if not word:
        raise NotThisNotation("a value")
    return literal(word)


def _member(scanner: Scanner, depth: int) -> tuple[str, object]:
    key = _value(scanner, depth) if scanner.text[scanner.at : scanner.at + 1] in "\"'" else None
    name = str(key) if key is not None else scanner.until(":,}").strip()
    scanner.space()
    scanner.take(":")
    return name, _value(scanner, depth)


def _text(scanner: Scanner, quote: str) -> str:
    parts: list[str] = []
    while True:
        parts.append(scanner.until(f"{quote}\\"))
        if scanner.sees(quote):
            return "".join(parts)
        scanner.take("\\")
        escaped = scanner.text[scanner.at : scanner.at + 1]
        scanner.at += 1
        if escaped in ("x", "u"):
            parts.append(_code_point(scanner, 2 if escaped == "x" else 4))
        else:
            parts.append(_ESCAPES.get(escaped, escaped))


def _code_point(scanner: Scanner, size: int) -> str:
    digits = scanner.text[scanner.at : scanner.at + size]
    if len(digits) < size or not re.fullmatch("[0-9A-Fa-f]+", digits):
        raise NotThisNotation("an escape")
    scanner.at += size
    return chr(int(digits, 16))
