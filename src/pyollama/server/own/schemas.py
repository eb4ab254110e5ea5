"""Bodies of our own routes. Absent and ``null`` are the same."""

from __future__ import annotations

from typing import Any

import msgspec

from pyollama.server.ollama.schemas import Body
from pyollama.types import JSON


class Tokenize(Body, frozen=True, kw_only=True):
    model: str = ""
    text: str = ""
    add_special: bool = True
    parse_special: bool = True


class Detokenize(Body, frozen=True, kw_only=True):
    model: str = ""
    tokens: list[int] = msgspec.field(default_factory=list)


class Score(Body, frozen=True, kw_only=True):
    model: str = ""
    text: str = ""
    prompt: str = ""
    keep_alive: Any = None
    options: JSON = msgspec.field(default_factory=dict)


class Rerank(Body, frozen=True, kw_only=True):
    model: str = ""
    query: str = ""
    documents: list[str] = msgspec.field(default_factory=list)
    top_n: int = 0
    keep_alive: Any = None
    options: JSON = msgspec.field(default_factory=dict)
