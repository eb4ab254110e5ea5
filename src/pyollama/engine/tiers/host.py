"""The tier in host memory: how many bytes are held, and what has to go. Pure book-keeping.

What goes first is decided as in GreedyDual-Size (Cao and Irani, 1997): a piece is worth the clock
at its last use plus what it would cost to compute it again, per byte, and the clock is the worth of
the last one that went. Among equals the one that was not used for longest goes, so where a byte
always costs the same this is LRU. Only pieces that no other one hangs on may go, because without
what is before them the later ones could not be reached.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pyollama.engine.tiers.pieces import Piece

State = bytes | memoryview

_CONTEXT = 16384
"""Positions at which attention costs as much as the rest of a model. Models of 0.5 to 8 billion
parameters: 11,000 to 30,000."""


@dataclass(slots=True)
class _Entry:
    piece: Piece
    state: State
    worth: float = 0.0
    used: int = 0

    @property
    def density(self) -> float:
        """What computing it again costs per byte, in tokens at the beginning of a context."""
        piece = self.piece
        middle = (piece.start + piece.stop) / 2
        return len(piece.tokens) * (1 + middle / _CONTEXT) / max(len(self.state), 1)


class HostTier:
    """States within ``budget`` bytes. What is ``pinned``, by its key, never has to go."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.used = 0
        self.pinned: frozenset[bytes] = frozenset()
        self._clock = 0.0
        self._uses = 0
        self._entries: dict[bytes, _Entry] = {}
        self._children: Counter[bytes] = Counter()  # by the key of the parent
        self._leaves: list[tuple[float, int, bytes]] = []  # a heap; outdated items are skipped

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Piece]:
        """What is held, the one used last first."""
        entries = sorted(self._entries.values(), key=lambda entry: -entry.used)
        return (entry.piece for entry in entries)

    def peek(self, key: bytes) -> State | None:
        """The state of a piece."""
        entry = self._entries.get(key)
        return None if entry is None else entry.state

    def touch(self, key: bytes) -> None:
        """A piece has been used."""
        entry = self._entries.get(key)
        if entry is not None:
            self._uses += 1
            entry.used = self._uses
            entry.worth = self._clock + entry.density
            self._note(entry)

    def put(self, piece: Piece, state: State) -> list[Piece]:
        """Take a state in. Returns what had to go for it.

        That is the piece itself where there is nothing else that may go.
        """
        if len(state) > self.budget:
            return [piece]
        if piece.key not in self._entries:
            self._entries[piece.key] = _Entry(piece, state)
            self._children[piece.parent] += 1
            self.used += len(state)
        gone = self._shrink()
        self.touch(piece.key)  # not before: what is new comes last
        if self.used > self.budget:
            gone += self._shrink()
        return gone

    def discard(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.used -= len(entry.state)
        parent = entry.piece.parent
        self._children[parent] -= 1
        if not self._children[parent]:
            del self._children[parent]
            if parent in self._entries:
                self._note(self._entries[parent])

    def _shrink(self) -> list[Piece]:
        gone, pinned = [], []
        while self.used > self.budget and self._leaves:
            worth, used, key = leaf = heapq.heappop(self._leaves)
            entry = self._entries.get(key)
            if entry is None or entry.used != used or self._children[key]:
                continue
            if key in self.pinned:
                pinned.append(leaf)
                continue
            self._clock = worth
            self.discard(key)
            gone.append(entry.piece)
        for leaf in pinned:
            heapq.heappush(self._leaves, leaf)
        return gone

    def _note(self, entry: _Entry) -> None:
        """Line ``entry`` up to go, if no other hangs on it."""
        if self._children[entry.piece.key]:
            return
        heapq.heappush(self._leaves, (entry.worth, entry.used, entry.piece.key))
        if len(self._leaves) > 2 * len(self._entries) + 64:
            self._leaves = [
                (entry.worth, entry.used, key)
                for key, entry in self._entries.items()
                if not self._children[key]
            ]
            heapq.heapify(self._leaves)
