"""Token sequences to vectors, on a context that pools: whole packs, and long texts in parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pyollama.engine.backend import Batch, Int32s

Vector = NDArray[np.float32]


class PoolingContext(Protocol):
    """What is used of ``pyollama._native.Context``. ``pooling`` is mean, cls, last or rank."""

    @property
    def n_ubatch(self) -> int: ...
    @property
    def has_memory(self) -> bool: ...
    @property
    def causal(self) -> bool: ...
    @property
    def pooling(self) -> str: ...
    def sequence_embedding(self, seq_id: int) -> Vector: ...
    def clear(self, data: bool = True) -> None: ...


def sees_whole_inputs(context: PoolingContext, *, encoder: bool) -> bool:
    """Whether each input has to be in one micro-batch: where tokens look at those behind them."""
    return encoder or not (context.has_memory and context.causal)


class Pooler:
    """Runs packs of inputs through ``context``; ``run`` computes one batch on it.

    With causal attention an input longer than a micro-batch is computed in several, each pooled by
    llama.cpp for itself, and the parts are put together here. That is exact: a token's last hidden
    state does not depend on where the batches were cut.
    """

    def __init__(self, context: PoolingContext, run: Callable[[Batch], None]) -> None:
        self._context = context
        self._run = run
        self._outputs = np.ones(context.n_ubatch, np.bool_)

    def embed(self, inputs: Sequence[Int32s]) -> Vector:
        """One row per input. Together they fit a micro-batch, or there is only one."""
        if self._context.has_memory:
            self._context.clear(data=False)
        if len(inputs) == 1 and len(inputs[0]) > self._context.n_ubatch:
            return self._in_parts(inputs[0])[np.newaxis]
        lengths = np.array([len(tokens) for tokens in inputs])
        starts = np.cumsum(lengths) - lengths
        positions = np.arange(lengths.sum(), dtype=np.int32) - np.repeat(starts, lengths)
        sequences = np.repeat(np.arange(len(inputs), dtype=np.int32), lengths)
        self._compute(np.concatenate(inputs), positions.astype(np.int32), sequences)
        return np.stack([self._context.sequence_embedding(i) for i in range(len(inputs))])

    def _in_parts(self, tokens: Int32s) -> Vector:
        rows = self._context.n_ubatch
        parts: list[Vector] = []
        for start in range(0, len(tokens), rows):
            part = tokens[start : start + rows]
            positions = np.arange(start, start + len(part), dtype=np.int32)
            self._compute(part, positions, np.zeros(len(part), np.int32))
            parts.append(self._context.sequence_embedding(0))
        return joined(parts, len(tokens), rows, self._context.pooling)

    def _compute(self, tokens: Int32s, positions: Int32s, sequences: Int32s) -> None:
        self._run(Batch(tokens, positions, sequences, self._outputs[: len(tokens)]))


def joined(parts: Sequence[Vector], length: int, rows: int, pooling: str) -> Vector:
    """What pooling an input of ``length`` tokens gives, from that of its parts of ``rows`` tokens.

    A ranking with causal attention looks at the last token.
    """
    match pooling:
        case "mean":
            weights = np.full(len(parts), rows, np.float64)
            weights[-1] = length - rows * (len(parts) - 1)
            return (weights @ np.stack(parts) / length).astype(np.float32)
        case "cls":
            return parts[0]
        case _:
            return parts[-1]
