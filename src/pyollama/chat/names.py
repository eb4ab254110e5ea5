"""The names by which a model asks for a renderer and a parser."""

from __future__ import annotations

from collections.abc import Iterable

from pyollama.chat.parsers import PARSERS
from pyollama.chat.renderers import RENDERERS
from pyollama.errors import InvalidRequest


def check_names(renderer: str, parser: str) -> None:
    """Refuses names that nothing here answers to; an empty one asks for nothing."""
    _check("renderer", renderer, RENDERERS)
    _check("parser", parser, PARSERS)


def _check(field: str, name: str, known: Iterable[str]) -> None:
    if name and name not in known:
        hint = f"choose one of {', '.join(sorted(known))}"
        raise InvalidRequest(f'unknown {field} "{name}"', hint=hint, field=field)
