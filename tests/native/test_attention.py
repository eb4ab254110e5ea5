"""Attention against plain arithmetic in double precision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.native import attention_op
from tests.native.attention_op import BF16, F16, F32, LIBRARY, Q8_0, Attention, attend, use_own

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="made by make build")

Floats = NDArray[np.float32]

# ggml's own attention sums up in half precision, and misses by more than this.
TIGHT = 3e-6
LOOSE = 5e-3


class Shape(NamedTuple):
    tokens: int
    cells: int
    heads: int = 4
    key_heads: int = 2
    key_size: int = 64
    value_size: int = 64
    streams: int = 1


@pytest.fixture(autouse=True, scope="module")
def own() -> None:
    use_own()


def make(shape: Shape, *, seed: int = 0) -> Attention:
    numbers = np.random.default_rng(seed)

    def normal(heads: int, rows: int, size: int) -> Floats:
        return numbers.standard_normal((shape.streams, heads, rows, size), np.float32)

    return Attention(
        normal(shape.heads, shape.tokens, shape.key_size),
        normal(shape.key_heads, shape.cells, shape.key_size),
        normal(shape.key_heads, shape.cells, shape.value_size),
        scale=shape.key_size**-0.5,
    )


def causal(shape: Shape) -> Floats:
    """The last tokens of a text that fills the cells."""
    cell = np.arange(shape.cells)
    token = np.arange(shape.cells - shape.tokens, shape.cells)[:, None]
    mask = np.where(cell <= token, 0.0, -np.inf).astype(np.float32)
    return np.broadcast_to(mask, (shape.streams, *mask.shape))


def scattered(shape: Shape, seed: int = 1) -> Floats:
    """Cells of several sequences in any order, and one token that sees nothing."""
    numbers = np.random.default_rng(seed)
    sequence = numbers.integers(0, max(shape.tokens, 2), shape.cells // 8 + 1).repeat(8)
    hidden = sequence[: shape.cells] != np.arange(shape.tokens)[:, None]
    mask = np.where(hidden, -np.inf, 0.0).astype(np.float32)
    mask[-1] = -np.inf
    return np.broadcast_to(mask, (shape.streams, *mask.shape))


def rounded(values: Floats, cache_type: int) -> NDArray[np.float64]:
    """The values as a cache of that type holds them."""
    match cache_type:
        case attention_op.F16:
            return values.astype(np.float16).astype(np.float64)
        case attention_op.BF16:
            bits = values.view(np.uint32)
            nearest = bits + 0x7FFF + ((bits >> 16) & 1)
            return (nearest & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)
        case _:
            return values.astype(np.float64)


def slopes(it: Attention) -> NDArray[np.float64]:
    """As ALiBi: a geometric series, and for heads beyond a power of two the one in between."""
    n_heads = it.queries.shape[1]
    if not it.max_bias:
        return np.ones(n_heads)
    regular = 2 ** int(np.log2(n_heads))
    first = 2.0 ** (-it.max_bias / regular * np.arange(1, regular + 1))
    between = 2.0 ** (-it.max_bias / regular / 2 * np.arange(1, 2 * (n_heads - regular), 2))
    return np.concatenate([first, between])


def expected(it: Attention, cache_type: int = F16) -> NDArray[np.float64]:
    group = it.queries.shape[1] // it.keys.shape[1]
    keys, values = (rounded(a, cache_type).repeat(group, 1) for a in (it.keys, it.values))
    scores = np.einsum("shtd,shcd->shtc", it.queries.astype(np.float64), keys) * it.scale
    if it.soft_cap:
        scores = it.soft_cap * np.tanh(scores / it.soft_cap)
    if it.mask is not None:
        scores = scores + slopes(it)[:, None, None] * it.mask[:, None]
    sinks = np.full(it.queries.shape[1], -np.inf) if it.sinks is None else it.sinks
    largest = np.maximum(scores.max(-1, keepdims=True), sinks[:, None, None])
    largest = np.where(np.isfinite(largest), largest, 0.0)
    weights = np.exp(scores - largest)
    total = weights.sum(-1, keepdims=True) + np.exp(sinks[:, None, None] - largest)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    output: NDArray[np.float64] = np.einsum("shtc,shcd->sthd", weights, values)
    return output


def error(it: Attention, cache_type: int = F16, threads: int = 2) -> float:
    got = attend(it, cache_type, threads).output
    return float(np.abs(got - expected(it, cache_type)).max())


SHAPES = {
    "one-token": Shape(1, 512),
    "one-token-many-cells": Shape(1, 4096, heads=14),
    "no-groups": Shape(1, 300, heads=3, key_heads=3),
    "group-of-two": Shape(1, 512, heads=16, key_heads=8, key_size=128, value_size=128),
    "few-tokens": Shape(7, 512, heads=14),
    "a-batch": Shape(100, 700, heads=6),
    "cells-that-fill-no-block": Shape(5, 77),
    "fewer-cells-than-a-block": Shape(3, 9),
    "one-cell": Shape(1, 1),
    "small-heads": Shape(40, 64, key_size=32, value_size=32),
    "odd-heads": Shape(9, 130, key_size=80, value_size=80),
    "keys-that-fill-no-vector": Shape(4, 96, key_size=36, value_size=64),
    "latent": Shape(2, 320, heads=20, key_heads=1, key_size=576, value_size=512),
    "one-key-head-for-many": Shape(3, 200, heads=128, key_heads=1),
    "streams": Shape(2, 256, streams=3),
}


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_text_attends_to_what_was_before(shape: Shape, threads: int) -> None:
    it = make(shape)
    masked = Attention(it.queries, it.keys, it.values, causal(shape), scale=it.scale)
    assert error(masked, threads=threads) < TIGHT


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [Shape(8, 1024, heads=14), Shape(70, 500), Shape(3, 64)])
def test_tokens_see_the_cells_of_their_sequence_alone(shape: Shape, seed: int) -> None:
    it = make(shape, seed=seed)
    masked = Attention(it.queries, it.keys, it.values, scattered(shape, seed), scale=it.scale)
    assert error(masked) < TIGHT


def test_a_token_that_sees_nothing_gets_zeros() -> None:
    shape = Shape(4, 128)
    it = make(shape)
    masked = Attention(it.queries, it.keys, it.values, scattered(shape), scale=it.scale)
    assert not attend(masked).output[:, -1].any()


def test_what_others_see_changes_nothing() -> None:
    """Cells that are hidden may hold anything, also what is no number."""
    shape = Shape(2, 96)
    it = make(shape)
    mask = np.zeros((1, 2, 96), np.float32)
    mask[:, :, 40:] = -np.inf
    seen = Attention(it.queries, it.keys[:, :, :40], it.values[:, :, :40], scale=it.scale)
    keys, values = it.keys.copy(), it.values.copy()
    keys[:, :, 64:] = values[:, :, 64:] = np.nan
    masked = Attention(it.queries, keys, values, mask, scale=it.scale)
    np.testing.assert_allclose(attend(masked).output, attend(seen).output, atol=TIGHT)


def test_without_a_mask_all_is_seen() -> None:
    assert error(make(Shape(6, 333))) < TIGHT


@pytest.mark.parametrize(("cache_type", "bound"), [(F32, TIGHT), (BF16, TIGHT), (Q8_0, 0.02)])
@pytest.mark.parametrize("tokens", [1, 90])
def test_types_of_the_cache(cache_type: int, bound: float, tokens: int) -> None:
    shape = Shape(tokens, 512)
    it = make(shape)
    masked = Attention(it.queries, it.keys, it.values, causal(shape), scale=it.scale)
    assert error(masked, cache_type) < bound


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("tokens", [1, 30])
def test_sinks_take_weight(tokens: int, threads: int) -> None:
    shape = Shape(tokens, 600, heads=8)
    it = make(shape)
    sinks = np.linspace(-4.0, 12.0, 8, dtype=np.float32)
    with_sinks = Attention(it.queries, it.keys, it.values, causal(shape), sinks, it.scale)
    assert error(with_sinks, threads=threads) < TIGHT


def test_large_scores_do_not_overflow() -> None:
    it = make(Shape(3, 256))
    assert error(Attention(it.queries * 100, it.keys, it.values, scale=it.scale)) < 1e-4


@pytest.mark.parametrize("soft_cap", [0.5, 5.0, 50.0])
def test_soft_caps_bend_the_scores(soft_cap: float) -> None:
    shape = Shape(5, 256)
    it = make(shape)
    capped = Attention(it.queries * 8, it.keys, it.values, causal(shape), None, 1.0, soft_cap)
    assert error(capped) < 2e-5


@pytest.mark.parametrize("heads", [4, 6])
def test_slopes_make_far_cells_count_less(heads: int) -> None:
    shape = Shape(3, 300, heads=heads)
    it = make(shape)
    distance = np.arange(shape.cells) - np.arange(shape.cells - 3, shape.cells)[:, None]
    mask = np.where(distance <= 0, distance, -np.inf).astype(np.float32)[None]
    sloped = Attention(it.queries, it.keys, it.values, mask, scale=it.scale, max_bias=8.0)
    assert error(sloped) < TIGHT


def test_values_that_fill_no_vector_are_left_to_ggml() -> None:
    shape = Shape(3, 128, value_size=36)
    it = make(shape)
    masked = Attention(it.queries, it.keys, it.values, causal(shape), scale=it.scale)
    assert error(masked) < LOOSE
