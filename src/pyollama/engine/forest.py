"""Radix trees side by side: sequences computed with other adapters have nothing in common."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Generic

from pyollama.engine.radix import K, RadixTree
from pyollama.types import Adapters


class Forest(Generic[K]):
    """One :class:`RadixTree` for each set of adapters; every key is in one of them."""

    def __init__(self) -> None:
        self._trees: dict[Adapters | None, RadixTree[K]] = {}
        self._homes: dict[K, Adapters | None] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._homes

    def length(self, key: K) -> int:
        return self._of(key).length(key) if key in self._homes else 0

    def insert(self, key: K, tokens: array[int], adapters: Adapters | None) -> None:
        """Add ``key``, which must be new, with ``tokens`` that were computed with ``adapters``."""
        if key in self._homes:
            raise KeyError(f"{key!r} is there already")
        self._trees.setdefault(adapters, RadixTree()).insert(key, tokens)
        self._homes[key] = adapters

    def extend(self, key: K, tokens: array[int]) -> None:
        self._of(key).extend(key, tokens)

    def truncate(self, key: K, length: int) -> None:
        self._of(key).truncate(key, length)

    def remove(self, key: K) -> None:
        tree = self._of(key)
        tree.remove(key)
        home = self._homes.pop(key)
        if not tree:
            del self._trees[home]

    def alone(self, key: K) -> int:
        return self._of(key).alone(key)

    def behind_others(self, key: K) -> int:
        return self._of(key).behind_others(key)

    def longest(
        self, tokens: array[int], limit: int, adapters: Adapters | None
    ) -> tuple[int, Iterator[K]]:
        return self._among(adapters).longest(tokens, limit)

    def wholes(
        self, tokens: array[int], limit: int, adapters: Adapters | None
    ) -> list[tuple[int, K]]:
        return self._among(adapters).wholes(tokens, limit)

    def divergence(self, tokens: array[int], adapters: Adapters | None) -> tuple[int, int | None]:
        return self._among(adapters).divergence(tokens)

    def _of(self, key: K) -> RadixTree[K]:
        return self._trees[self._homes[key]]

    def _among(self, adapters: Adapters | None) -> RadixTree[K]:
        return self._trees.get(adapters) or RadixTree()
