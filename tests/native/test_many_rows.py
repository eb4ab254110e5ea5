"""Rows of a large vocabulary are shared out among threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.native import tiny

from pyollama import errors
from pyollama._native import Context, Model, Sampler

N_ROWS = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = tmp_path_factory.mktemp("models") / "wide.gguf"
    with Model(tiny.llama_like(path, n_layer=1, n_extra=50_000)) as loaded:
        yield loaded


@pytest.fixture
def context(model: Model) -> Iterator[Context]:
    """After one step of eight sequences, with threads for four rows at a time."""
    with Context(model, n_ctx=256, n_seq_max=N_ROWS, n_threads=4) as made:
        made.decode(range(N_ROWS), [0] * N_ROWS, range(N_ROWS), [1] * N_ROWS)
        yield made


def samplers(model: Model) -> list[Sampler]:
    """Each of another kind."""
    made = [
        Sampler(model, seed=1),
        Sampler(model, temperature=0.0),
        Sampler(model, seed=2, top_k=0, top_p=1.0),
        Sampler(model, seed=3, top_k=0, min_p=0.01),
        Sampler(model, seed=4, repeat_penalty=1.3),
        Sampler(model, seed=5, mirostat=2),
        Sampler(model, seed=6, top_k=0, typical_p=0.5),
        Sampler(model, seed=7, logit_bias={5: 3.0}),
    ]
    assert len(made) == N_ROWS
    return made


def test_together_and_one_by_one_are_the_same(model: Model, context: Context) -> None:
    together, alone = samplers(model), samplers(model)
    before = context.logits()
    for _ in range(20):
        expected = [int(context.sample([i], [alone[i]])[0]) for i in range(N_ROWS)]
        assert context.sample(range(N_ROWS), together).tolist() == expected
    np.testing.assert_array_equal(context.logits(), before)


def test_rows_and_samplers_may_come_twice(model: Model, context: Context) -> None:
    """As where one prompt is continued several times, or one sampler works off several rows."""
    together, alone = samplers(model), samplers(model)
    expected = [int(context.sample([3], [sampler])[0]) for sampler in alone]
    assert context.sample([3] * N_ROWS, together).tolist() == expected
    one, other = (Sampler(model, seed=9, repeat_penalty=1.5) for _ in range(2))
    expected = [int(context.sample([row], [other])[0]) for row in range(N_ROWS)]
    assert context.sample(range(N_ROWS), [one] * N_ROWS).tolist() == expected


def test_one_bad_row_leaves_the_others_alone(model: Model, context: Context) -> None:
    together, alone = samplers(model), samplers(model)
    masks: NDArray[np.uint32] = np.full((N_ROWS, (model.n_vocab + 31) // 32), -1, np.int32)
    masks[2] = 0
    for count in (3, N_ROWS):
        out = np.full(count, -1, np.int32)
        with pytest.raises(errors.InvalidGrammar, match="the mask allows no token"):
            context.sample(range(count), together[:count], masks[:count], out)
        others = [i for i in range(count) if i != 2]
        assert out[2] == -1
        assert out[others].tolist() == [int(context.sample([i], [alone[i]])[0]) for i in others]
    with pytest.raises(errors.InvalidRequest, match="need as many tokens"):
        context.sample([0, 1], together[:2], out=out[:1])
    rest = [i for i in range(N_ROWS) if i != 2]
    expected = [int(context.sample([i], [alone[i]])[0]) for i in rest]
    assert context.sample(rest, [together[i] for i in rest]).tolist() == expected


def test_log_probabilities_of_many_rows(model: Model, context: Context) -> None:
    tokens = np.arange(N_ROWS) * 6000
    expected = [context.logprobs(row, tokens[row], 0)[0] for row in range(N_ROWS)]
    values = context.token_logprobs(range(N_ROWS), tokens)
    np.testing.assert_array_equal(values, np.asarray(expected, np.float32))
    logits = context.logits([7])[0].astype(np.float64)
    exact = logits[42000] - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    assert values[7] == pytest.approx(exact, abs=1e-5)
