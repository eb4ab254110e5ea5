"""The arrays of a batch, filled from what was planned."""

from __future__ import annotations

import numpy as np

from pyollama.engine.backend import Batch
from pyollama.engine.scheduler import Chunk


class RowBuffer:
    """The arrays of a batch, allocated once."""

    def __init__(self, rows: int) -> None:
        self._tokens = np.zeros(rows, np.int32)
        self._positions = np.zeros(rows, np.int32)
        self._sequences = np.zeros(rows, np.int32)
        self._outputs = np.zeros(rows, np.bool_)
        self._counting = np.arange(rows, dtype=np.int32)

    def fill(self, chunks: list[Chunk]) -> Batch:
        """One behind the other; their sequences have slots."""
        end = self._fill_single(chunks) if all(each.rows == 1 for each in chunks) else 0
        for chunk in () if end else chunks:
            at, end = end, end + chunk.rows
            self._fill_one(chunk, at, end)
        return Batch(
            self._tokens[:end], self._positions[:end], self._sequences[:end], self._outputs[:end]
        )

    def _fill_single(self, chunks: list[Chunk]) -> int:
        """Chunks of one row each, which is what most steps are made of."""
        end = len(chunks)
        self._tokens[:end] = [chunk.sequence.tokens[chunk.start] for chunk in chunks]
        self._positions[:end] = [chunk.start for chunk in chunks]
        self._sequences[:end] = [_slot(chunk) for chunk in chunks]
        self._outputs[:end] = [chunk.outputs for chunk in chunks]
        return end

    def _fill_one(self, chunk: Chunk, at: int, end: int) -> None:
        stop = chunk.start + chunk.count
        self._tokens[at : at + chunk.count] = chunk.sequence.tokens[chunk.start : stop]
        if chunk.drafts:
            self._tokens[at + chunk.count : end] = chunk.drafts
        self._positions[at:end] = self._counting[: chunk.rows] + chunk.start
        self._sequences[at:end] = _slot(chunk)
        self._outputs[at:end] = False
        self._outputs[end - chunk.outputs : end] = True


def _slot(chunk: Chunk) -> int:
    slot = chunk.sequence.slot
    assert slot is not None  # only what has one is computed
    return slot.index
