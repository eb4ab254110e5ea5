"""The few steps most native tests are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pyollama._native import Context, Model, Sampler


def feed(context: Context, tokens: Sequence[int], *, seq: int = 0, start: int = 0) -> int:
    """Decode a piece of one sequence with one output, for its last token."""
    size = len(tokens)
    outputs = np.zeros(size, np.int8)
    outputs[-1] = 1
    return context.decode(
        np.asarray(tokens, np.int32),
        np.arange(start, start + size, dtype=np.int32),
        np.full(size, seq, np.int32),
        outputs,
    )


def last_logits(
    context: Context, tokens: Sequence[int], *, seq: int = 0, start: int = 0
) -> NDArray[np.float32]:
    feed(context, tokens, seq=seq, start=start)
    logits: NDArray[np.float32] = context.logits()[0]
    return logits


def greedy(context: Context, prompt: Sequence[int], count: int, *, seq: int = 0) -> list[int]:
    """What the logits alone say: no sampler takes part."""
    position = 0
    tokens = list(prompt)
    out: list[int] = []
    for _ in range(count):
        token = int(last_logits(context, tokens, seq=seq, start=position).argmax())
        position += len(tokens)
        out.append(token)
        tokens = [token]
    return out


def greedy_batch(
    model: Model, context: Context, prompts: Mapping[int, Sequence[int]], count: int
) -> dict[int, list[int]]:
    """All prompts at once, sampled with greedy samplers: one decode() and one sample() a step."""
    samplers = [Sampler(model, temperature=0.0) for _ in prompts]
    pieces = {seq: list(prompt) for seq, prompt in prompts.items()}
    starts = dict.fromkeys(prompts, 0)
    out: dict[int, list[int]] = {seq: [] for seq in prompts}
    for _ in range(count):
        tokens = [token for piece in pieces.values() for token in piece]
        positions = [starts[seq] + i for seq, piece in pieces.items() for i in range(len(piece))]
        seqs = [seq for seq, piece in pieces.items() for _ in piece]
        outputs = [i == len(piece) - 1 for piece in pieces.values() for i in range(len(piece))]
        rows = context.decode(tokens, positions, seqs, outputs)
        assert rows == len(prompts)
        for seq, token in zip(prompts, context.sample(np.arange(rows), samplers), strict=True):
            starts[seq] += len(pieces[seq])
            pieces[seq] = [int(token)]
            out[seq].append(int(token))
    return out
