"""A prefix cut into pieces that are kept, found and given up one by one.

A piece is a run of tokens and the key of the piece before it, so that its own key, a digest of
both, stands for the whole prefix up to its end. Prefixes that begin alike share their first pieces,
and a conversation that goes on only adds to them. The first piece hangs on a root, which stands for
everything else that cached values depend on: model, adapters, layout of the cache.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from pyollama.engine.prefix import common_prefix

KEY_BYTES = 20

SIZE = 256
"""Tokens of a full piece. Small enough to be saved between two steps and to waste little where
prefixes part, large enough for a file of its own: 3 MB at 12 KB a token."""

LEAST = 32
"""Tokens below which the rest of a prefix is computed again rather than kept."""


@dataclass(frozen=True, slots=True)
class Piece:
    """``tokens`` at the positions from ``start`` on; ``parent`` is the key of what is before."""

    key: bytes
    parent: bytes
    start: int
    tokens: array[int] = field(hash=False)

    @property
    def stop(self) -> int:
        return self.start + len(self.tokens)


def piece(parent: bytes, start: int, tokens: array[int]) -> Piece:
    """The piece with ``tokens`` behind ``parent``, which ends at ``start``."""
    digest = hashlib.blake2b(parent, digest_size=KEY_BYTES)
    digest.update(start.to_bytes(4, "little"))
    digest.update(tokens)
    return Piece(digest.digest(), parent, start, tokens)


def root(*facts: bytes) -> bytes:
    """The key that the first pieces hang on; different for different ``facts``."""
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    for fact in facts:
        digest.update(len(fact).to_bytes(8, "little"))
        digest.update(fact)
    return digest.digest()


def cut(parent: bytes, tokens: array[int], size: int) -> Iterator[Piece]:
    """The pieces of a prefix: full ones of ``size`` tokens, and the rest if it is worth it.

    With a ``size`` of 0 it is all one piece, for memory whose states cannot be put together.
    """
    for start in range(0, len(tokens), size or max(len(tokens), 1)):
        part = tokens[start : start + size] if size else tokens
        if len(part) < min(size or LEAST, LEAST):
            return
        found = piece(parent, start, part)
        yield found
        parent = found.key


@dataclass(frozen=True, slots=True)
class Hit:
    """The first ``count`` tokens of ``piece`` are of use."""

    piece: Piece
    count: int

    @property
    def stop(self) -> int:
        return self.piece.start + self.count


class Index:
    """The pieces that can be had, as the tree that their keys make.

    A piece whose parent is not there stays, unreachable until the parent comes back.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._pieces: dict[bytes, Piece] = {}
        self._children: dict[bytes, dict[bytes, Piece]] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._pieces

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[Piece]:
        return iter(self._pieces.values())

    def add(self, piece: Piece) -> None:
        self._pieces[piece.key] = piece
        self._children.setdefault(piece.parent, {})[piece.key] = piece

    def discard(self, key: bytes) -> None:
        piece = self._pieces.pop(key, None)
        if piece is None:
            return
        siblings = self._children[piece.parent]
        del siblings[key]
        if not siblings:
            del self._children[piece.parent]

    def walk(self, parent: bytes, tokens: array[int], limit: int) -> list[Hit]:
        """The pieces that hold the longest known prefix of ``tokens``, at most ``limit`` of it."""
        hits: list[Hit] = []
        start, end = 0, min(limit, len(tokens))
        while start < end:
            stop = min(end, start + self._size) if self._size else end
            hit = self._best(parent, start, tokens[start:stop])
            if hit is None:
                break
            hits.append(hit)
            if hit.count < self._size or not self._size:
                break
            parent, start = hit.piece.key, hit.stop
        return hits

    def covers(self, piece: Piece) -> bool:
        """Whether the tokens of ``piece`` are held, by itself or by a longer one."""
        hit = self._best(piece.parent, piece.start, piece.tokens)
        return hit is not None and hit.count == len(piece.tokens)

    def shorter(self, piece: Piece) -> list[Piece]:
        """The held pieces that are of no more use once ``piece`` is held."""
        if not self._size:
            return []
        return [
            other
            for other in self._children.get(piece.parent, {}).values()
            if len(other.tokens) < len(piece.tokens)
            and common_prefix(other.tokens, piece.tokens, self._size) == len(other.tokens)
        ]

    def _best(self, parent: bytes, start: int, tokens: array[int]) -> Hit | None:
        """The child of ``parent`` that begins with the most of ``tokens``."""
        children = self._children.get(parent, {})
        exact = children.get(piece(parent, start, tokens).key)
        if exact is not None:
            return Hit(exact, len(tokens))
        best: Hit | None = None
        for child in children.values():
            count = common_prefix(child.tokens, tokens, len(tokens))
            if not self._size and count < len(child.tokens):
                continue  # of use only as a whole
            if count and (best is None or count > best.count):
                best = Hit(child, count)
        return best
