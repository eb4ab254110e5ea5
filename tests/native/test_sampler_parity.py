"""Our sampling against llama.cpp's own chain: same seed, same tokens, for parameters of all kinds.

Both draw with the same generator and walk through what is left in the same order, so a candidate
more or less, or a changed order, soon shows as another token; a high temperature, which makes all
of them equally likely, shows it at once. Sums are rounded differently, so that once in many cases a
candidate at the very border of a filter may be in on one side and out on the other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.native.llama_chain import LIBRARY, LlamaChain

from pyollama import _native, errors
from pyollama._native import Model, Sampler

N_VOCAB = 265
DRAWS = 12

needs_chain = pytest.mark.skipif(
    not LIBRARY.exists(), reason="llama.cpp's chain is not built (make build)"
)


@pytest.fixture(params=_native.kernels())
def kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every set of kernels that this processor has, in turn."""
    _native.set_kernels(request.param)
    yield request.param
    _native.set_kernels(_native.kernels()[0])


@pytest.fixture(scope="module")
def large(vocab_folder: Path) -> Iterator[Model]:
    """The vocabulary of 152 thousand tokens that Qwen's models have."""
    with Model(vocab_folder / "ggml-vocab-qwen2.gguf", vocab_only=True) as model:
        yield model


def random_logits(random: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Flat, peaked, or with a long tail of nearly impossible tokens."""
    spread = random.choice([0.5, 3.0, 8.0])
    values: NDArray[np.float32] = random.standard_normal(size, np.float32) * np.float32(spread)
    values[random.integers(size, size=size // 100)] += random.uniform(0, 10)
    return values + np.float32(random.uniform(-20, 20))


def random_parameters(random: np.random.Generator) -> dict[str, Any]:
    """Each step is on in about half of the cases.

    Top-n-sigma leaves impossible tokens in llama.cpp's list, whose typical sampling then calculates
    with numbers that are none, and whose ``min_keep`` counts them; so it is tried without these.
    """

    def maybe(value: float, otherwise: float) -> float:
        return value if random.random() < 0.5 else otherwise

    parameters = {
        "temperature": float(random.choice([0.3, 0.8, 1.5, 1000.0])),
        "top_k": int(maybe(random.uniform(1, 300), 0)),
        "top_p": maybe(random.uniform(0.05, 1.0), 1.0),
        "min_p": maybe(random.uniform(0.0, 0.5), 0.0),
        "xtc_probability": maybe(0.5, 0.0),
        "xtc_threshold": random.uniform(0.01, 0.3),
        "repeat_penalty": maybe(1.2, 1.0),
        "frequency_penalty": maybe(0.3, 0.0),
        "dry_multiplier": maybe(0.8, 0.0),
        "seed": int(random.integers(2**31)),
    }
    if random.random() < 0.3:
        return parameters | {"top_n_sigma": random.uniform(0.5, 3.0)}
    parameters["typical_p"] = maybe(random.uniform(0.2, 1.0), 1.0)
    parameters["min_keep"] = int(maybe(random.uniform(1, 10), 0))
    return parameters


def same_tokens(
    model: Model,
    logits: NDArray[np.float32],
    history: list[int],
    draws: int,
    parameters: dict[str, Any],
) -> bool:
    theirs = LlamaChain(model.n_vocab, **parameters)
    ours = Sampler(model, **parameters, dry_penalty_last_n=512, dry_sequence_breakers=())
    theirs.accept(history)
    ours.accept(history)
    return [ours.sample(logits) for _ in range(draws)] == [
        theirs.sample(logits) for _ in range(draws)
    ]


@needs_chain
def test_tokens_are_those_of_the_chain(model: Model, kernels: str) -> None:
    random = np.random.default_rng(20)
    cases = 250
    different = []
    for case in range(cases):
        logits = random_logits(random, N_VOCAB)
        history = random.integers(8, size=20).tolist()
        parameters = random_parameters(random)
        if not same_tokens(model, logits, history, DRAWS, parameters):
            different.append((case, parameters))
    assert len(different) <= 2, different


@needs_chain
@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_is_that_of_the_chain(model: Model, version: int, kernels: str) -> None:
    random = np.random.default_rng(21)
    cases = 60
    different = []
    for case in range(cases):
        parameters = {
            "mirostat": version,
            "mirostat_tau": random.uniform(1.0, 6.0),
            "mirostat_eta": random.uniform(0.05, 0.5),
            "temperature": random.uniform(0.5, 2.0),
            "seed": case,
        }
        if not same_tokens(model, random_logits(random, N_VOCAB), [], 30, parameters):
            different.append(parameters)
    assert len(different) <= 1, different


@needs_chain
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"top_k": 0, "top_p": 1.0},
        {"top_k": 0, "top_p": 0.5},
        {"top_k": 0, "top_p": 0.95},
        {"top_k": 0, "top_p": 1.0, "min_p": 0.05},
        {"top_k": 2000},
        {"top_k": 0, "top_p": 0.9, "min_p": 0.001, "xtc_probability": 0.5, "xtc_threshold": 0.001},
        {"top_k": 0, "top_p": 1.0, "xtc_probability": 0.5, "xtc_threshold": 0.0005},
        {"top_k": 0, "top_p": 1.0, "top_n_sigma": 2.0},
        {"mirostat": 1},
        {"mirostat": 2},
    ],
)
def test_a_large_vocabulary(large: Model, kernels: str, parameters: dict[str, Any]) -> None:
    random = np.random.default_rng(22)
    flat = random.standard_normal(large.n_vocab).astype(np.float32)
    peaked = flat * np.float32(2)
    peaked[random.integers(large.n_vocab, size=300)] += random.uniform(5, 12, 300).astype(
        np.float32
    )
    assert same_tokens(large, peaked, [], 5, {"seed": 7, **parameters})
    # llama.cpp adds up in single precision, too coarse for tens of thousands of equal chances
    if parameters.get("top_k", 40) > 0 or parameters.get("top_p") == 1.0:
        assert same_tokens(large, flat, [], 5, {"seed": 7, **parameters})


EXTREMES: list[dict[str, Any]] = [
    *({"min_p": value} for value in (-1.0, 1.0, 1.0000001, 2.0, 1e30)),
    *({"top_p": value} for value in (-1e30, -1.0, 0.0, 1e-30, 1e30)),
    *({"typical_p": value} for value in (-1e30, -1.0, 0.0, 1e30)),
    *({"temperature": value} for value in (1e-4, 1e30, 3e38)),
    *({"top_n_sigma": value} for value in (1e-30, 1e30)),
    *({"xtc_probability": 2.0, "xtc_threshold": value} for value in (-1.0, 0.0, 0.6)),
    {"min_p": 2.0, "min_keep": 3},
    {"min_p": 2.0, "min_keep": 2**31 - 1},
    {"top_p": 0.0, "min_keep": 3},
    {"typical_p": 0.0, "min_keep": 3},
    {"top_p": 0.5, "min_p": 2.0},
    {"typical_p": 0.5, "min_p": 2.0},
    {"typical_p": 0.0, "top_p": 0.0, "min_p": 2.0},
    {"top_n_sigma": 1e-30, "top_p": 0.0, "min_p": 2.0},
    {"top_n_sigma": 1e-30, "min_keep": 3},
    {"min_p": 2.0, "xtc_probability": 1.0},
    {"min_p": 2.0, "temperature": 1e30},
]
"""Values that leave one token, or would leave none."""

OPEN: dict[str, Any] = {"top_p": 1.0, "seed": 3}


@needs_chain
@pytest.mark.parametrize("top_k", [0, 1, 40, 2**31 - 1])
def test_extreme_parameters_are_those_of_the_chain(model: Model, kernels: str, top_k: int) -> None:
    random = np.random.default_rng(24)
    for spread in (0.5, 8.0):
        logits = random.standard_normal(N_VOCAB, np.float32) * np.float32(spread)
        for parameters in EXTREMES:
            chosen = OPEN | {"top_k": top_k} | parameters
            assert same_tokens(model, logits, [], 6, chosen), parameters


@needs_chain
def test_extreme_parameters_and_a_large_vocabulary(large: Model) -> None:
    """Among so many tokens, rounding decides which one is the most typical."""
    logits = np.random.default_rng(25).standard_normal(large.n_vocab, np.float32) * np.float32(3)
    for parameters in EXTREMES:
        if "typical_p" not in parameters:
            chosen = OPEN | {"top_k": 0} | parameters
            assert same_tokens(large, logits, [], 2, chosen), parameters


@pytest.mark.parametrize("top_k", [0, 40])
@pytest.mark.parametrize("allowed", [[7], [3, 130, 264], range(0, N_VOCAB, 2)])
def test_extreme_parameters_under_a_mask(
    model: Model, kernels: str, allowed: Sequence[int], top_k: int
) -> None:
    """It is the draw out of the allowed tokens alone, however few they are."""
    logits = random_logits(np.random.default_rng(26), N_VOCAB)
    bits = np.zeros(9 * 32, np.uint8)
    bits[list(allowed)] = 1
    mask = np.packbits(bits, bitorder="little").view(np.uint32)
    alone = np.where(bits[:N_VOCAB] == 1, logits, np.float32(-np.inf))
    for parameters in EXTREMES:
        chosen = OPEN | {"top_k": top_k} | parameters
        masked, plain = Sampler(model, **chosen), Sampler(model, **chosen)
        tokens = [masked.sample(logits, mask) for _ in range(4)]
        assert set(tokens) <= set(allowed), parameters
        assert tokens == [plain.sample(alone) for _ in range(4)], parameters


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("tau", [-1e30, -5.0, 0.0, 1e30])
@pytest.mark.parametrize("eta", [-1e30, 0.0, 1e30])
def test_extreme_mirostat_draws_a_token(model: Model, version: int, tau: float, eta: float) -> None:
    logits = random_logits(np.random.default_rng(27), N_VOCAB)
    sampler = Sampler(model, mirostat=version, mirostat_tau=tau, mirostat_eta=eta, seed=1)
    assert all(0 <= sampler.sample(logits) < N_VOCAB for _ in range(20))


def chi_square(observed: list[int], probabilities: NDArray[np.float64]) -> float:
    """In standard deviations above what is expected; rare tokens are put together."""
    counts = np.bincount(observed, minlength=probabilities.size).astype(float)
    means = probabilities * len(observed)
    rare = means < 8
    counts = np.append(counts[~rare], counts[rare].sum())
    means = np.append(means[~rare], max(means[rare].sum(), 1e-9))
    freedom = len(means) - 1
    return float((((counts - means) ** 2 / means).sum() - freedom) / math.sqrt(2 * freedom))


def test_draws_out_of_a_large_vocabulary_follow_the_softmax(large: Model, kernels: str) -> None:
    temperature = 0.6
    logits = (np.random.default_rng(23).standard_normal(large.n_vocab) * 3).astype(np.float32)
    exact = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    sampler = Sampler(large, temperature=temperature, top_k=0, top_p=1.0, seed=1)
    observed = [sampler.sample(logits) for _ in range(2000)]
    assert chi_square(observed, exact / exact.sum()) < 5
    wrong = np.exp((logits.astype(np.float64) - logits.max()) / temperature * 1.2)
    assert chi_square(observed, wrong / wrong.sum()) > 5


@pytest.mark.parametrize("size", [1, 3, 31, 33, 127, 128, 129, 265])
def test_values_are_found_wherever_they_are(model: Model, kernels: str, size: int) -> None:
    """Rows are read in blocks, whose last one may be short."""
    greedy, likely = Sampler(model, temperature=0.0), Sampler(model, top_k=3, temperature=0.01)
    for place in range(0, size, max(1, size // 9)):
        logits = np.full(N_VOCAB, -np.inf, np.float32)
        logits[:size] = -50.0
        logits[place] = 1.0
        assert greedy.sample(logits) == place
        assert likely.sample(logits) == place
        for wrong in (np.nan, np.inf):
            broken = logits.copy()
            broken[size - 1] = wrong
            with pytest.raises(errors.NativeError, match="not finite"):
                greedy.sample(broken)


def test_the_first_of_equals_is_best(model: Model, kernels: str) -> None:
    logits = np.zeros(N_VOCAB, np.float32)
    assert Sampler(model, temperature=0.0).sample(logits) == 0
    logits[[140, 260]] = 2.0
    assert Sampler(model, temperature=0.0).sample(logits) == 140
    sampler = Sampler(model, temperature=1.0, top_k=5, top_p=1.0, seed=1)
    assert set(Counter(sampler.sample(logits) for _ in range(400))) == {140, 260, 0, 1, 2}


def test_logits_from_elsewhere_are_checked(model: Model) -> None:
    sampler = Sampler(model)
    for shape in ((0,), (N_VOCAB - 1,), (1, N_VOCAB)):
        with pytest.raises(errors.InvalidRequest, match="logits"):
            sampler.sample(np.zeros(shape, np.float32))
    with pytest.raises(errors.InvalidRequest, match="no kernels named"):
        _native.set_kernels("mmx")
