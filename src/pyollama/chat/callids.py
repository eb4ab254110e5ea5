"""Ids for tool calls that the model gave none."""

from __future__ import annotations

import secrets
from string import ascii_letters, ascii_lowercase, digits


def _random(alphabet: str, size: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(size))


def new_call_id() -> str:
    """An id as Ollama makes it."""
    return "call_" + _random(ascii_lowercase + digits, 8)


def new_native_call_id() -> str:
    """An id as llama-server makes it."""
    return _random(ascii_letters + digits, 32)
