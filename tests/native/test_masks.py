"""Masks: only the tokens that another component allows are chosen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.native import steps

from pyollama import errors
from pyollama._native import Context, Model, Sampler

N_VOCAB = 265
WORDS = 9


def mask_of(*allowed: Iterable[int]) -> NDArray[np.uint32]:
    """One row of bits for each set of tokens."""
    bits = np.zeros((len(allowed), WORDS * 32), np.uint8)
    for row, tokens in zip(bits, allowed, strict=True):
        row[list(tokens)] = 1
    return np.packbits(bits, axis=1, bitorder="little").view(np.uint32)


@pytest.fixture
def logits(context: Context) -> NDArray[np.float32]:
    return steps.last_logits(context, [5, 6, 7])


def drawn(
    context: Context, sampler: Sampler, mask: NDArray[np.uint32] | None, count: int
) -> list[int]:
    return [int(context.sample([0], [sampler], mask)[0]) for _ in range(count)]


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 0.0},
        {"top_k": 5},
        {"top_k": 0},
        {"top_k": 0, "top_p": 0.5},
        {"top_k": 0, "min_p": 0.1},
        {"typical_p": 0.5},
        {"mirostat": 1},
        {"mirostat": 2},
        {"repeat_penalty": 1.2, "logit_bias": {8: 50.0}},
    ],
)
@pytest.mark.parametrize("allowed", [range(3, 9), range(0, N_VOCAB, 2), [264]])
def test_a_mask_is_a_bias_of_minus_infinity(
    model: Model,
    context: Context,
    logits: NDArray[np.float32],
    parameters: dict[str, Any],
    allowed: Iterable[int],
) -> None:
    forbidden = dict.fromkeys(set(range(N_VOCAB)) - set(allowed), -math.inf)
    bias = forbidden | {k: v for k, v in parameters.get("logit_bias", {}).items() if k in allowed}
    biased = Sampler(model, **{"seed": 3, **parameters, "logit_bias": bias})
    masked = Sampler(model, **{"seed": 3, **parameters})
    mask = mask_of(allowed)
    assert drawn(context, masked, mask, 50) == drawn(context, biased, None, 50)
    np.testing.assert_array_equal(context.logits()[0], logits)


def test_a_full_mask_changes_nothing(model: Model, context: Context) -> None:
    steps.feed(context, [5, 6, 7])
    full = np.full((1, WORDS), -1, np.int32)  # bits beyond the vocabulary count for nothing
    chains: list[dict[str, Any]] = [
        {"temperature": 0.0},
        {"top_k": 0, "top_p": 1.0},
        {"min_p": 0.1},
    ]
    for parameters in chains:
        free, held = (Sampler(model, seed=5, **parameters) for _ in range(2))
        assert [int(context.sample([0], [held], full)[0]) for _ in range(30)] == drawn(
            context, free, None, 30
        )


def test_each_row_has_its_own_mask(model: Model, context: Context) -> None:
    context.decode([1, 2, 3], [0, 0, 0], [0, 1, 2], [1, 1, 1])
    samplers = [Sampler(model, temperature=0.0) for _ in range(3)]
    masks = mask_of([17], range(N_VOCAB), [250, 251])
    chosen = context.sample([2, 0, 1], samplers, masks)
    rows = context.logits()
    assert chosen[0] == 17
    assert chosen[1] == rows[0].argmax()
    assert chosen[2] == 250 + rows[1][250:252].argmax()


def test_a_mask_and_a_grammar_hold_together(model: Model, context: Context) -> None:
    steps.feed(context, [5, 6, 7])
    letters = {model.piece(token): token for token in range(N_VOCAB)}
    mask = mask_of([letters[b"b"], letters[b"z"]])
    sampler = Sampler(model, temperature=5.0, grammar="root ::= [a-c]+")
    assert set(drawn(context, sampler, mask, 20)) == {letters[b"b"]}


@pytest.mark.parametrize("parameters", [{"temperature": 0.0}, {"top_k": 5}, {"top_k": 0}])
def test_a_mask_that_allows_nothing_is_an_error(
    model: Model, context: Context, logits: NDArray[np.float32], parameters: dict[str, Any]
) -> None:
    sampler = Sampler(model, **parameters)
    beyond = np.zeros((1, WORDS), np.uint32)
    beyond[0, -1] = 0xFFFFFE00  # the vocabulary ends at the ninth bit of the last word
    for mask in (mask_of([]), beyond):
        with pytest.raises(errors.InvalidGrammar, match="the mask allows no token"):
            context.sample([0], [sampler], mask)
    np.testing.assert_array_equal(context.logits()[0], logits)


def test_wrong_masks_are_refused(
    model: Model, context: Context, logits: NDArray[np.float32]
) -> None:
    sampler = Sampler(model)
    for shape in ((1, WORDS - 1), (2, WORDS), (WORDS,)):
        with pytest.raises(errors.InvalidRequest, match="must have the shape"):
            context.sample([0], [sampler], np.zeros(shape, np.uint32))
    for kind in (np.float32, np.int64):
        with pytest.raises(TypeError, match="32-bit integers"):
            context.sample([0], [sampler], np.zeros((1, WORDS), kind))
