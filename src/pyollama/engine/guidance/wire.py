"""What an engine and its guidance process say to each other.

Two channels: grammars are opened on one, which may take a while; steps go over the other, and are
answered in the order they were sent. The masks themselves lie in shared memory, one row for each
guide that runs: ``row_bytes(n_vocab)`` bytes, bit ``t % 32`` of the little-endian 32-bit word
``t // 32`` says whether token ``t`` may come next.
"""

from __future__ import annotations

import msgspec

from pyollama.types import Grammar


class ChildGone(Exception):
    """The process ended, or was ended, instead of an answer."""


class Ready(msgspec.Struct, frozen=True):
    """The vocabulary is there; or ``error`` says why it never will be."""

    error: str = ""


class Open(msgspec.Struct, frozen=True):
    """Start a guide called ``id``."""

    id: int
    grammar: Grammar


class Opened(msgspec.Struct, frozen=True):
    """``error`` is empty, or says why the grammar cannot be used."""

    error: str = ""


class Step(msgspec.Struct):
    """Forget what was ``closed``, then take in tokens, then compute masks.

    ``accepted`` are pairs of guide and token, ``wanted`` pairs of guide and row.
    """

    closed: list[int] = []
    accepted: list[tuple[int, int]] = []
    wanted: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self.closed or self.accepted or self.wanted)


class Stepped(msgspec.Struct, frozen=True):
    """The masks are there. ``complete`` are the guides whose text can only end now."""

    failed: dict[int, str] = {}
    complete: list[int] = []


def row_words(n_vocab: int) -> int:
    return (n_vocab + 31) // 32


def row_bytes(n_vocab: int) -> int:
    return 4 * row_words(n_vocab)
