"""The names by which a model asks for a renderer and a parser."""

from __future__ import annotations

from collections.abc import Iterable

from pyollama.chat.facts import ModelFacts
from pyollama.chat.parsers import PARSERS
from pyollama.chat.renderers import RENDERERS
from pyollama.errors import InvalidRequest

_SMALL, _LARGE = ("e2b", "e4b"), ("12b", "26b", "31b")
_LARGE_FROM = 12.0
"""Billions of parameters."""


def renderer_of(facts: ModelFacts) -> str:
    """The renderer of a model; of Gemma 4 there are two, and its size says which."""
    if facts.renderer != "gemma4":
        return facts.renderer
    name = f"{facts.name}:{facts.tag}".lower()
    if any(mark in name for mark in _SMALL):
        return "gemma4-small"
    is_large = any(mark in name for mark in _LARGE) or _billions(facts.size) >= _LARGE_FROM
    return "gemma4-large" if is_large else "gemma4-small"


def _billions(size: str) -> float:
    try:
        return float(size.removesuffix("B")) if size.endswith("B") else 0.0
    except ValueError:
        return 0.0


def check_names(renderer: str, parser: str) -> None:
    """Refuses names that nothing here answers to; an empty one asks for nothing."""
    _check("renderer", renderer, RENDERERS)
    _check("parser", parser, PARSERS)


def _check(field: str, name: str, known: Iterable[str]) -> None:
    if name and name not in known:
        hint = f"choose one of {', '.join(sorted(known))}"
        raise InvalidRequest(f'unknown {field} "{name}"', hint=hint, field=field)
