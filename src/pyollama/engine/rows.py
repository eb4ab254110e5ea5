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
        end = 0
        for chunk in chunks:
            slot = chunk.sequence.slot
            if slot is None:
                continue
            at, end = end, end + chunk.rows
            stop = chunk.start + chunk.count
            self._tokens[at : at + chunk.count] = chunk.sequence.tokens[chunk.start : stop]
            if chunk.drafts:
                self._tokens[at + chunk.count : end] = chunk.drafts
            self._positions[at:end] = self._counting[: chunk.rows] + chunk.start
            self._sequences[at:end] = slot.index
            self._outputs[at:end] = False
            self._outputs[end - chunk.outputs : end] = True
        return Batch(
            self._tokens[:end], self._positions[:end], self._sequences[:end], self._outputs[:end]
        )
