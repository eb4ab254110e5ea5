"""Where the end of a text has occurred before: hash chains over token ids, as in Deflate."""

from __future__ import annotations

from array import array

import numpy as np

MIN_MATCH = 2
"""Tokens that have to agree; their hash leads to the places to look at."""

LONGEST = 32
"""Up to so many tokens a match is measured."""

DEPTH = 16
"""Places that are looked at, the latest first."""

WINDOW = 1 << 16
"""Further back than so many tokens nothing is found."""

_FIRST, _SECOND = 0x9E3779B1, 0x85EBCA6B  # odd multipliers
_WORD = 0xFFFFFFFF
_BULK = 64  # from so many tokens on, numpy is faster than a loop


class MatchFinder:
    """Finds the longest earlier occurrence of the end of a text that grows at its end.

    Constant time for each token, and memory for at most ``min(capacity, WINDOW)`` positions however
    long the text becomes.
    """

    def __init__(self, capacity: int) -> None:
        bits = max(min(capacity, WINDOW) - 1, 255).bit_length()
        self._mask = (1 << bits) - 1
        self._shift = 32 - max(bits - 1, 8)
        # Position p stands for the tokens right before it; 0 means none. A chain leads from each
        # position to the one before it with the same hash.
        self._heads = array("i", bytes(4 << (32 - self._shift)))
        self._chain = array("i", bytes(4 << bits))
        self._end = MIN_MATCH

    def extend(self, tokens: array[int]) -> None:
        """Index what is new in ``tokens``, which may only have grown since the last call."""
        if len(tokens) - self._end >= _BULK:
            self._extend_in_bulk(tokens)
        for position in range(self._end, len(tokens)):
            key = self._hash(tokens[position - 2], tokens[position - 1])
            self._chain[position & self._mask] = self._heads[key]
            self._heads[key] = position
        self._end = max(len(tokens), self._end)

    def find(self, tokens: array[int]) -> tuple[int, int]:
        """The position behind the longest match of the end of ``tokens``, and its length.

        Among equally long ones the latest; (0, 0) if there is none.
        """
        end = len(tokens)
        if end <= MIN_MATCH:
            return 0, 0
        best, length = 0, MIN_MATCH - 1
        position = self._heads[self._hash(tokens[end - 2], tokens[end - 1])]
        for _ in range(DEPTH):
            if not max(end - self._mask, 1) <= position < end:
                break
            found = _common_suffix(tokens, position, end)
            if found > length:
                best, length = position, found
                if length == LONGEST:
                    break
            before = self._chain[position & self._mask]
            position = before if before < position else 0
        return (best, length) if best else (0, 0)

    def _hash(self, first: int, second: int) -> int:
        return ((first * _FIRST + second * _SECOND) & _WORD) >> self._shift

    def _extend_in_bulk(self, tokens: array[int]) -> None:
        start = max(self._end, len(tokens) - self._mask)
        ids = np.frombuffer(tokens, np.int32)[start - 2 :].astype(np.uint32)
        keys = (ids[:-2] * np.uint32(_FIRST) + ids[1:-1] * np.uint32(_SECOND)) >> self._shift
        order = np.argsort(keys, kind="stable")
        positions, ordered = (order + start).astype(np.int32), keys[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = ordered[1:] != ordered[:-1]
        heads, chain = np.frombuffer(self._heads, np.int32), np.frombuffer(self._chain, np.int32)
        before = np.where(first, heads[ordered], np.roll(positions, 1))
        chain[positions & self._mask] = before
        last = np.roll(first, -1)
        heads[ordered[last]] = positions[last]
        self._end = len(tokens)


def _common_suffix(tokens: array[int], a: int, b: int) -> int:
    """How many tokens before ``a`` and before ``b`` are the same, at most ``LONGEST``."""
    length = 0
    most = min(a, LONGEST)
    while length < most and tokens[a - length - 1] == tokens[b - length - 1]:
        length += 1
    return length
