"""Drafted tokens are checked against the model, and change nothing about what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tests.native import steps

from pyollama import errors
from pyollama._native import Context, Model, Sampler

PROMPT = [5, 6, 7]
COUNT = 24


def one_by_one(context: Context, sampler: Sampler, count: int) -> list[int]:
    context.clear()
    tokens = list(PROMPT)
    out: list[int] = []
    start = 0
    while len(out) < count:
        steps.feed(context, tokens, start=start)
        start += len(tokens)
        tokens = context.sample([0], [sampler]).tolist()
        out += tokens
    return out


def with_drafts(
    context: Context, sampler: Sampler, drafts: Sequence[Sequence[int]], count: int
) -> list[int]:
    """Each step is the last token and the drafts for this position, all with an output row."""
    context.clear()
    steps.feed(context, PROMPT)
    out: list[int] = context.sample([0], [sampler]).tolist()
    while len(out) < count:
        draft = list(drafts[len(out)])
        tokens = [out[-1], *draft]
        start = len(PROMPT) + len(out) - 1
        size = len(tokens)
        positions = np.arange(start, start + size)
        rows = context.decode(tokens, positions, np.zeros(size, np.int32), np.ones(size, np.int8))
        sampled = context.verify(np.arange(rows), draft, sampler).tolist()
        assert sampled[:-1] == draft[: len(sampled) - 1]
        assert len(sampled) == size or sampled[-1] != draft[len(sampled) - 1]
        out += sampled
        context.seq_rm(0, start + len(sampled), -1)
    return out[:count]


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 0.0},
        {},
        {"top_k": 0, "top_p": 1.0},
        {"mirostat": 2},
        {"repeat_penalty": 1.3, "presence_penalty": 0.5},
        {"xtc_probability": 0.5, "xtc_threshold": 0.01},
        {"dry_multiplier": 1.0},
        {"grammar": "root ::= [a-z ]+"},
    ],
)
def test_drafts_leave_the_tokens_as_they_are(
    model: Model, context: Context, parameters: dict[str, Any]
) -> None:
    """Right drafts, wrong ones, and ones that turn wrong half way: same seed, same tokens."""
    expected = one_by_one(context, Sampler(model, seed=11, **parameters), COUNT)
    right = [[*expected[i : i + 3]] for i in range(COUNT)]
    wrong = [[(token + 1) % 256 for token in draft] for draft in right]
    mixed = [[*right[i][:1], *wrong[i][1:]] for i in range(COUNT)]
    none: list[list[int]] = [[] for _ in range(COUNT)]
    for drafts in (right, wrong, mixed, none):
        sampler = Sampler(model, seed=11, **parameters)
        assert with_drafts(context, sampler, drafts, COUNT) == expected


def test_the_sampler_goes_on_as_if_there_had_been_no_drafts(model: Model, context: Context) -> None:
    context.decode([1, 2, 3], [0, 1, 2], [0, 0, 0], [1, 1, 1])
    plain, drafted = (Sampler(model, seed=4, repeat_penalty=1.5) for _ in range(2))
    first = int(context.sample([0], [plain])[0])
    rejected = (first + 1) % 256
    assert context.verify([0, 1, 2], [rejected, 3], drafted).tolist() == [first]
    for row in (2, 1, 0):
        assert context.sample([row], [drafted]).tolist() == context.sample([row], [plain]).tolist()


def test_masks_hold_for_drafts(model: Model, context: Context) -> None:
    context.decode([1, 2, 3], [0, 1, 2], [0, 0, 0], [1, 1, 1])
    masks = np.zeros((3, 9), np.uint32)
    masks[[0, 1, 2], [0, 1, 2]] = 1  # tokens 0, 32, 64
    sampler = Sampler(model)
    assert context.verify([0, 1, 2], [0, 32], sampler, masks).tolist() == [0, 32, 64]
    assert context.verify([0, 1, 2], [0, 33], sampler, masks).tolist() == [0, 32]


def test_wrong_drafts_are_refused(model: Model, context: Context) -> None:
    context.decode([1, 2], [0, 1], [0, 0], [1, 1])
    sampler = Sampler(model)
    for rows, drafts in (([0], [1]), ([], []), ([0, 1, 2], [1])):
        with pytest.raises(errors.InvalidRequest, match="one row more than drafts"):
            context.verify(rows, drafts, sampler)
    with pytest.raises(errors.InvalidRequest, match="does not exist"):
        context.verify([0, 2], [1], sampler)
    with pytest.raises(errors.InvalidRequest, match="token 265"):
        context.verify([0, 1], [265], sampler)
    with pytest.raises(TypeError):
        context.verify([0], [], None)  # type: ignore[arg-type]
