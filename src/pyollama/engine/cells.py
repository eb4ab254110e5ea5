"""How many cells of a unified KV cache are in use, where sequences share what was copied.

A copied prefix costs nothing: both sequences own the same cells, until the last owner lets go. What
two sequences have computed by themselves lies in cells of its own, also where the tokens are equal.
So this follows what was computed and copied, not what the tokens are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class _Block:
    """Cells of the positions [start, end), computed once. ``uses``: by sequences and blocks."""

    __slots__ = ("end", "parent", "start", "uses")

    def __init__(self, start: int, end: int, parent: _Block | None, uses: int) -> None:
        self.start = start
        self.end = end
        self.parent = parent
        self.uses = uses


class Cells:
    """The cells of ``capacity`` and which sequences own them. A sequence is its number."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._tails: dict[int, _Block] = {}

    @property
    def free(self) -> int:
        return self.capacity - self.used

    def length(self, sequence: int) -> int:
        tail = self._tails.get(sequence)
        return 0 if tail is None else tail.end

    def extend(self, sequence: int, count: int) -> None:
        """``count`` positions were computed behind those of ``sequence``."""
        tail = self._tails.get(sequence)
        self.used += count
        if tail is not None and tail.uses == 1:
            tail.end += count
        elif count:
            start = 0 if tail is None else tail.end
            self._tails[sequence] = _Block(start, start + count, tail, 1)

    def share(self, source: int, target: int, length: int) -> None:
        """The empty ``target`` owns the first ``length`` positions of ``source`` as well."""
        block = self._cut(source, length)
        if block is not None:
            block.uses += 1
            self._tails[target] = block

    def trim(self, sequence: int, length: int) -> None:
        """Only the first ``length`` positions of ``sequence`` stay."""
        if length >= self.length(sequence):
            return
        block = self._cut(sequence, length)
        tail = self._tails.pop(sequence)
        if block is not None:
            block.uses += 1
            self._tails[sequence] = block
        self._release(tail)

    def separate(self, sequence: int) -> None:
        """``sequence`` gets cells of its own."""
        length = self.length(sequence)
        self.trim(sequence, 0)
        self.extend(sequence, length)

    def shared(self, sequence: int) -> int:
        """How many of the first positions of ``sequence`` have another owner too."""
        block = self._tails.get(sequence)
        while block is not None and block.uses == 1:
            block = block.parent
        return 0 if block is None else block.end

    def alone(self, sequence: int) -> int:
        """Cells that are free once ``sequence`` is gone."""
        return self.length(sequence) - self.shared(sequence)

    def owned(self, parts: Iterable[tuple[int, int]]) -> int:
        """Cells of the first positions of some sequences, (sequence, length), counted once."""
        ends: dict[_Block, int] = {}
        for sequence, length in parts:
            for block in self._chain(sequence):
                if block.start < length:
                    ends[block] = max(ends.get(block, block.start), min(block.end, length))
        return sum(end - block.start for block, end in ends.items())

    def _chain(self, sequence: int) -> Iterator[_Block]:
        block = self._tails.get(sequence)
        while block is not None:
            yield block
            block = block.parent

    def _cut(self, sequence: int, length: int) -> _Block | None:
        """The block of ``sequence`` that ends at ``length``; ``None`` for the beginning."""
        for block in self._chain(sequence):
            if block.end == length:
                return block
            if block.start < length < block.end:
                # The lower part stays the block that others know; only that one uses the upper.
                block.parent = _Block(block.start, length, block.parent, 1)
                block.start = length
                return block.parent
        return None

    def _release(self, block: _Block | None) -> None:
        while block is not None:
            block.uses -= 1
            if block.uses:
                return
            self.used -= block.end - block.start
            block = block.parent
