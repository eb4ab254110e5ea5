"""Reading the bytes of a fuzzer as decisions, so that what is built from them has structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Takes decisions from the front of ``data``; when it is used up, the first choice wins."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._position

    def take(self, count: int) -> bytes:
        """Up to ``count`` bytes as they are."""
        start = self._position
        self._position = min(start + count, len(self._data))
        return self._data[start : self._position]

    def rest(self) -> bytes:
        return self.take(self.left)

    def number(self, below: int) -> int:
        """A number under ``below``, which is at most 65536."""
        width = 1 if below <= 256 else 2
        return int.from_bytes(self.take(width), "little") % below

    def flag(self, one_in: int = 2) -> bool:
        return self.number(256) % one_in == one_in - 1

    def pick(self, among: Sequence[T]) -> T:
        return among[self.number(len(among))]
