"""Drafted tokens are checked against the model, and change nothing about what comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from pyollama import errors
from pyollama._native import Context, Model, Sampler

N_ROWS = 16


@pytest.fixture
def context(model: Model) -> Iterator[Context]:
    """With the rows of one batch: what was drafted makes no difference to their logits here."""
    with Context(model, n_ctx=64) as made:
        ones = np.ones(N_ROWS, np.int8)
        made.decode(np.arange(5, 5 + N_ROWS), np.arange(N_ROWS), np.zeros(N_ROWS, np.int32), ones)
        yield made


def one_by_one(context: Context, sampler: Sampler, rows: Iterable[int]) -> list[int]:
    return [int(context.sample([row], [sampler])[0]) for row in rows]


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 0.0},
        {},
        {"top_k": 0, "top_p": 1.0},
        {"mirostat": 1},
        {"mirostat": 2},
        {"repeat_penalty": 1.3, "presence_penalty": 0.5},
        {"xtc_probability": 0.5, "xtc_threshold": 0.01},
        {"dry_multiplier": 1.0, "dry_sequence_breakers": ()},
        {"grammar": "root ::= [a-z ]+"},
    ],
)
@pytest.mark.parametrize("wrong_from", [0, 1, 7, N_ROWS])
def test_drafts_leave_the_tokens_as_they_are(
    model: Model, context: Context, parameters: dict[str, Any], wrong_from: int
) -> None:
    """Same seed, same tokens, and the same ones after it, whatever was drafted."""
    plain, drafted = (Sampler(model, seed=11, **parameters) for _ in range(2))
    accepted = min(wrong_from + 1, N_ROWS)
    expected = one_by_one(context, plain, range(accepted))
    draft = [*expected[:wrong_from], *([0] * N_ROWS)][: N_ROWS - 1]
    if wrong_from < N_ROWS:
        draft[wrong_from] = (expected[wrong_from] + 1) % 256
    sampled = context.verify(range(N_ROWS), draft, drafted)
    assert sampled.dtype == np.int32
    assert sampled.tolist() == expected
    again = [3, 1, 2, 15, 3]
    assert one_by_one(context, drafted, again) == one_by_one(context, plain, again)


def test_no_drafts_are_a_plain_sample(model: Model, context: Context) -> None:
    plain, drafted = (Sampler(model, seed=3) for _ in range(2))
    assert context.verify([4], [], drafted).tolist() == one_by_one(context, plain, [4])


def test_masks_hold_for_drafts(model: Model, context: Context) -> None:
    masks = np.zeros((3, 9), np.uint32)
    masks[[0, 1, 2], [0, 1, 2]] = 1  # tokens 0, 32, 64
    sampler = Sampler(model)
    assert context.verify([0, 1, 2], [0, 32], sampler, masks).tolist() == [0, 32, 64]
    assert context.verify([0, 1, 2], [0, 33], sampler, masks).tolist() == [0, 32]


def test_wrong_drafts_are_refused(model: Model, context: Context) -> None:
    sampler = Sampler(model)
    for rows, drafts in (([0], [1]), ([], []), ([0, 1, 2], [1])):
        with pytest.raises(errors.InvalidRequest, match="one row more than drafts"):
            context.verify(rows, drafts, sampler)
    with pytest.raises(errors.InvalidRequest, match="does not exist"):
        context.verify([0, N_ROWS], [1], sampler)
    with pytest.raises(errors.InvalidRequest, match="token 265"):
        context.verify([0, 1], [265], sampler)
    with pytest.raises(TypeError):
        context.verify([0], [], None)  # type: ignore[arg-type]
