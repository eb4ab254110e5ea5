"""Sampling: the right distribution, the right set, the same again with the same seed."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.native import steps, tiny

from pyollama import errors
from pyollama._native import Context, Model, Sampler

N_VOCAB = 265
NEUTRAL: dict[str, Any] = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "seed": 1,
}


@pytest.fixture
def logits(context: Context) -> NDArray[np.float32]:
    """The raw logits of row 0 of ``context``."""
    return steps.last_logits(context, [5, 6, 7])


def sample(context: Context, sampler: Sampler, row: int = 0) -> int:
    return int(context.sample([row], [sampler])[0])


def draws(model: Model, context: Context, count: int, **parameters: Any) -> list[int]:
    """Tokens drawn from row 0, each by a chain that has accepted nothing."""
    sampler = Sampler(model, **(NEUTRAL | parameters))
    return [sample(context, sampler) for _ in range(count)]


def softmax(values: NDArray[np.float32]) -> NDArray[np.float64]:
    exponents = np.exp(values.astype(np.float64) - values.max())
    probabilities: NDArray[np.float64] = exponents / exponents.sum()
    return probabilities


def chi_square_is_likely(observed: list[int], expected: NDArray[np.float64]) -> bool:
    """A bound five standard deviations wide; classes with few expected draws are put together."""
    counts = np.bincount(observed, minlength=len(expected)).astype(float)
    means = expected * len(observed)
    small = means < 8
    counts = np.append(counts[~small], counts[small].sum())
    means = np.append(means[~small], max(means[small].sum(), 1e-9))
    statistic = float(((counts - means) ** 2 / means).sum())
    freedom = len(means) - 1
    return statistic < freedom + 5 * math.sqrt(2 * freedom)


# --- distributions


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(
    model: Model, context: Context, logits: NDArray[np.float32], temperature: float
) -> None:
    observed = draws(model, context, 20000, temperature=temperature)
    assert chi_square_is_likely(observed, softmax(logits / np.float32(temperature)))
    assert not chi_square_is_likely(observed, softmax(logits * np.float32(1.5)))


def test_top_k_follows_the_softmax_of_its_set(
    model: Model, context: Context, logits: NDArray[np.float32]
) -> None:
    kept = np.full_like(logits, -np.inf)
    best = np.argsort(-logits)[:10]
    kept[best] = logits[best]
    assert chi_square_is_likely(draws(model, context, 20000, top_k=10), softmax(kept))


def nucleus(probabilities: NDArray[np.float64], p: float) -> set[int]:
    order = np.argsort(-probabilities)
    size = int(np.searchsorted(np.cumsum(probabilities[order]), p)) + 1
    return {int(token) for token in order[:size]}


def test_each_filter_keeps_its_set(
    model: Model, context: Context, logits: NDArray[np.float32]
) -> None:
    probabilities = softmax(logits)
    order = [int(token) for token in np.argsort(-logits)]
    deviation = float(logits.std())
    expected: dict[tuple[str, float], set[int]] = {
        ("top_k", 5): set(order[:5]),
        ("top_k", 1): set(order[:1]),
        ("top_p", 0.3): nucleus(probabilities, 0.3),
        ("min_p", 0.2): {
            int(token) for token in np.flatnonzero(probabilities >= 0.2 * probabilities.max())
        },
        ("top_n_sigma", 0.5): {
            int(token) for token in np.flatnonzero(logits >= logits.max() - 0.5 * deviation)
        },
    }
    for (name, value), kept in expected.items():
        observed = set(draws(model, context, 4000, **{name: value}))
        assert observed <= kept, name
        assert len(observed) >= 0.8 * len(kept), name


def test_typical_and_xtc_and_min_keep(
    model: Model, context: Context, logits: NDArray[np.float32]
) -> None:
    probabilities = softmax(logits)
    entropy = -(probabilities * np.log(probabilities)).sum()
    order = np.argsort(np.abs(-np.log(probabilities) - entropy))
    size = int(np.searchsorted(np.cumsum(probabilities[order]), 0.4)) + 1
    assert set(draws(model, context, 3000, typical_p=0.4)) <= {
        int(token) for token in order[: size + 1]
    }
    best = int(logits.argmax())
    above = np.flatnonzero(probabilities >= 0.02)
    assert len(above) >= 2
    excluded = draws(model, context, 500, xtc_probability=1.0, xtc_threshold=0.02)
    assert best not in excluded
    assert len(set(draws(model, context, 500, top_p=1e-6, min_keep=3))) == 3


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_draws_plausible_tokens(
    model: Model, context: Context, logits: NDArray[np.float32], version: int
) -> None:
    observed = draws(model, context, 500, mirostat=version, mirostat_tau=2.0, mirostat_eta=0.1)
    mean_rank = np.argsort(np.argsort(-logits))[observed].mean()
    assert mean_rank < N_VOCAB / 6


# --- bias and penalties


def test_bias_forces_and_forbids(
    model: Model, context: Context, logits: NDArray[np.float32]
) -> None:
    best = int(logits.argmax())
    assert set(draws(model, context, 50, logit_bias={17: 100.0})) == {17}
    assert best not in draws(model, context, 2000, logit_bias={best: -math.inf})
    assert draws(model, context, 1, temperature=0.0, logit_bias={17: 100.0}) == [17]


def test_the_logits_are_put_back(
    model: Model, context: Context, logits: NDArray[np.float32]
) -> None:
    sampler = Sampler(model, logit_bias={3: 5.0, 4: -math.inf}, repeat_penalty=1.5)
    sampler.accept([3, 4, 4, 9])
    sample(context, sampler)
    np.testing.assert_array_equal(context.logits()[0], logits)


@pytest.mark.parametrize("extra", [{}, {"dry_multiplier": 1e-9}])
def test_penalties_equal_their_formula(
    model: Model, context: Context, logits: NDArray[np.float32], extra: dict[str, Any]
) -> None:
    order = np.argsort(-logits)
    history = [int(order[0])] * 3 + [int(order[1]), int(order[-1])]
    penalised = logits.astype(np.float64)
    for token, count in Counter(history).items():
        value = penalised[token]
        value = value * 1.3 if value <= 0 else value / 1.3
        penalised[token] = value - 0.4 * count - 0.2
    sampler = Sampler(
        model,
        temperature=0.0,
        repeat_penalty=1.3,
        frequency_penalty=0.4,
        presence_penalty=0.2,
        **extra,
    )
    sampler.accept(history)
    assert sample(context, sampler) == int(penalised.argmax())


def test_the_window_of_the_penalties_moves_on(
    model: Model, context: Context, logits: NDArray[np.float32]
) -> None:
    best = int(logits.argmax())
    sampler = Sampler(model, temperature=0.0, presence_penalty=1000.0, repeat_last_n=3)
    sampler.accept([best])
    assert sample(context, sampler) != best
    sampler.accept([1, 2])
    assert sample(context, sampler) == best
    sampler.reset()
    assert [sample(context, sampler) for _ in range(2)] != [best, best]


def test_dry_ends_a_repetition(model: Model, context: Context, logits: NDArray[np.float32]) -> None:
    best = int(logits.argmax())
    sampler = Sampler(model, temperature=0.0, dry_multiplier=50.0, dry_allowed_length=2)
    sampler.accept([20, 21, 22, best, 20, 21, 22])
    assert sample(context, sampler) != best
    sampler.reset()
    sampler.accept([20, 21, 22, 23, 20, 21, 24])
    assert sample(context, sampler) == best


# --- determinism


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"top_k": 40, "top_p": 0.9},
        {"mirostat": 2},
        {"xtc_probability": 0.5, "xtc_threshold": 0.01},
        {"repeat_penalty": 1.1, "repeat_last_n": -1},
    ],
)
def test_a_seed_repeats_and_another_differs(
    model: Model, context: Context, logits: NDArray[np.float32], parameters: dict[str, Any]
) -> None:
    first = draws(model, context, 100, **parameters)
    assert draws(model, context, 100, **parameters) == first
    assert draws(model, context, 100, **parameters, seed=2) != first
    sampler = Sampler(model, **(NEUTRAL | parameters))
    half = [sample(context, sampler) for _ in range(50)]
    clone = sampler.clone()
    rest = [sample(context, sampler) for _ in range(50)]
    assert half + rest == first
    assert [sample(context, clone) for _ in range(50)] == rest
    sampler.reset()
    assert [sample(context, sampler) for _ in range(100)] == first


def test_seeds(model: Model, context: Context, logits: NDArray[np.float32]) -> None:
    assert Sampler(model, seed=7).seed == 7
    assert Sampler(model, seed=2**32 + 7).seed == 7
    assert Sampler(model, seed=2**32 - 1).seed == 2**32 - 2
    assert Sampler(model, seed=-1).seed != Sampler(model, seed=-1).seed


def test_greedy_is_the_largest_logit(
    model: Model, context: Context, logits: NDArray[np.float32]
) -> None:
    best = int(logits.argmax())
    for parameters in ({}, {"top_k": 0}, {"mirostat": 1}, {"dry_multiplier": 1.0}):
        sampler = Sampler(model, temperature=0.0, **parameters)
        assert sample(context, sampler) == best


def test_the_usual_chain_needs_few_steps(model: Model) -> None:
    assert Sampler(model).chain == ["top-k", "top-p", "temp", "dist"]
    assert Sampler(model, temperature=0.0).chain == ["greedy"]
    everything = Sampler(
        model,
        logit_bias={1: 1.0},
        repeat_penalty=1.1,
        dry_multiplier=0.5,
        top_n_sigma=1.0,
        typical_p=0.9,
        min_p=0.05,
        xtc_probability=0.1,
        grammar='root ::= "a"',
    )
    assert everything.chain == [
        "logit-bias", "penalties", "dry", "top-n-sigma", "top-k", "typical", "top-p", "min-p",
        "xtc", "temp", "dist", "grammar",
    ]  # fmt: skip


# --- many sequences, log-probabilities


def test_one_call_samples_all_rows(context: Context, model: Model) -> None:
    context.decode([1, 2, 3], [0, 0, 0], [0, 1, 2], [1, 1, 1])
    rows = context.logits()
    samplers = [Sampler(model, temperature=0.0) for _ in range(3)]
    chosen = context.sample([2, 0, 1], samplers)
    assert chosen.dtype == np.int32
    assert chosen.tolist() == rows[[2, 0, 1]].argmax(axis=1).tolist()
    assert context.sample([], []).tolist() == []


def test_logprobs_are_the_raw_log_softmax(
    model: Model, context: Context, logits: NDArray[np.float32]
) -> None:
    expected = np.log(softmax(logits))
    order = np.argsort(-logits)
    logprob, ids, values = context.logprobs(0, 42, 5)
    assert logprob == pytest.approx(expected[42], abs=1e-4)
    assert ids.tolist() == order[:5].tolist()
    np.testing.assert_allclose(values, expected[order[:5]], atol=1e-4)
    _, ids, values = context.logprobs(0, 42, 0)
    assert (ids.size, values.size) == (0, 0)
    _, ids, values = context.logprobs(0, 42, N_VOCAB)
    assert sorted(ids.tolist()) == list(range(N_VOCAB))


def test_logprobs_of_many_tokens_at_once(model: Model, context: Context) -> None:
    context.decode([1, 2, 3], [0, 0, 0], [0, 1, 2], [1, 1, 1])
    values = context.token_logprobs([2, 0, 0, 1], [7, 42, 0, 264])
    assert values.dtype == np.float32
    expected = [context.logprobs(row, token, 0)[0] for row, token in ((2, 7), (0, 42), (0, 0))]
    np.testing.assert_allclose(values[:3], expected, atol=1e-5)
    assert values[3] == pytest.approx(np.log(softmax(context.logits()[1]))[264], abs=1e-4)
    assert context.token_logprobs([], []).size == 0
    for rows, tokens in (([3], [0]), ([0], [265]), ([0, 1], [0])):
        with pytest.raises(errors.InvalidRequest):
            context.token_logprobs(rows, tokens)


@pytest.mark.parametrize(
    ("row", "token", "n_top"), [(1, 0, 1), (-1, 0, 1), (0, 265, 1), (0, 0, 266), (0, 0, -1)]
)
def test_wrong_logprob_arguments(
    model: Model, context: Context, logits: NDArray[np.float32], row: int, token: int, n_top: int
) -> None:
    with pytest.raises(errors.InvalidRequest):
        context.logprobs(row, token, n_top)


# --- what is refused


def test_rows_and_samplers_must_match(
    model: Model, context: Context, logits: NDArray[np.float32]
) -> None:
    sampler = Sampler(model)
    for rows in ([1], [-1]):
        with pytest.raises(errors.InvalidRequest, match="does not exist"):
            context.sample(rows, [sampler])
    with pytest.raises(errors.InvalidRequest, match="as many samplers"):
        context.sample([0], [])
    with pytest.raises(TypeError):
        context.sample([0], [None])  # type: ignore[list-item]
    sampler.close()
    with pytest.raises(errors.NativeError, match="closed"):
        context.sample([0], [sampler])


def test_a_sampler_of_another_model_is_refused(
    folder: Path, model: Model, context: Context, logits: NDArray[np.float32]
) -> None:
    with Model(folder / "llama.gguf", vocab_only=True) as other:
        sampler = Sampler(other)
    with pytest.raises(errors.InvalidRequest, match="another model"):
        context.sample([0], [sampler])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"temperature": math.nan}, "temperature must be a finite number"),
        ({"top_p": math.inf}, "top_p"),
        ({"repeat_penalty": 0.0}, "repeat_penalty must be above 0"),
        ({"repeat_penalty": -1.0}, "repeat_penalty"),
        ({"mirostat": 3}, "mirostat must be"),
        ({"repeat_last_n": -2}, "at least -1"),
        ({"min_keep": -1}, "negative"),
        ({"logit_bias": {265: 1.0}}, "token 265"),
        ({"logit_bias": {1: math.nan}}, "logit_bias of token 1"),
        ({"grammar_trigger_tokens": [-5]}, "token -5"),
        ({"top_k": 2**40}, "top_k is out of range"),
    ],
)
def test_wrong_parameters_are_refused(
    model: Model, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.InvalidRequest, match=message):
        Sampler(model, **parameters)


def test_everything_forbidden_is_an_error(
    model: Model, context: Context, logits: NDArray[np.float32]
) -> None:
    bias = dict.fromkeys(range(N_VOCAB), -math.inf)
    for parameters in ({"temperature": 0.0}, {"top_k": 5}, {"top_k": 0}, {"mirostat": 2}):
        sampler = Sampler(model, logit_bias=bias, **parameters)
        with pytest.raises(errors.NativeError, match="no token is left"):
            sample(context, sampler)


def test_logits_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    path = tiny.llama_like(tmp_path / "nan.gguf")
    data = path.read_bytes()
    ones = np.ones(64, np.float32).tobytes()
    path.write_bytes(data.replace(ones, np.full(64, np.nan, np.float32).tobytes(), 1))
    with Model(path) as model, Context(model, n_ctx=64) as context:
        steps.feed(context, [1, 2])
        for parameters in ({"temperature": 0.0}, {"top_k": 5}, {"top_k": 0}):
            with pytest.raises(errors.NativeError, match="not finite"):
                context.sample([0], [Sampler(model, **parameters)])
        with pytest.raises(errors.NativeError, match="not finite"):
            context.logprobs(0, 1, 1)
        with pytest.raises(errors.NativeError, match="not finite"):
            context.token_logprobs([0], [1])


# --- grammar


def written(
    model: Model, context: Context, sampler: Sampler, count: int, *, start: int
) -> list[int]:
    out: list[int] = []
    for i in range(count):
        token = sample(context, sampler)
        out.append(token)
        if model.is_eog(token):
            break
        steps.feed(context, [token], start=start + i)
    return out


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [0.0, 1.0, 5.0])
def test_a_grammar_holds(context: Context, model: Model, seed: int, temperature: float) -> None:
    steps.feed(context, [1, 2, 3])
    grammar = 'root ::= ("ab" | "the") [0-9]{2,3} "!"'
    sampler = Sampler(model, temperature=temperature, seed=seed, grammar=grammar)
    tokens = written(model, context, sampler, 20, start=3)
    assert model.is_eog(tokens[-1])
    text = model.detokenize(tokens).decode()
    assert text.startswith(("ab", "the"))
    assert text.endswith("!")
    assert text.strip("abthe!").isdigit()


def test_a_lazy_grammar_sleeps_until_its_trigger(context: Context, model: Model) -> None:
    steps.feed(context, [1, 2, 3])
    think = model.tokenize("<think>", parse_special=True).tolist()
    sampler = Sampler(
        model,
        temperature=0.0,
        grammar='root ::= "<think>"? "yes"',
        grammar_lazy=True,
        grammar_trigger_tokens=think,
        grammar_trigger_patterns=["x+(y)"],
    )
    free = sample(context, sampler)
    sampler.accept(model.tokenize("anything"))
    assert sample(context, sampler) == free
    sampler.accept(think)
    assert model.piece(sample(context, sampler)) == b"y"
    sampler.reset()
    assert sample(context, sampler) == free


def test_a_trigger_pattern_starts_at_its_group(context: Context, model: Model) -> None:
    steps.feed(context, [1, 2, 3])
    sampler = Sampler(
        model,
        temperature=0.0,
        grammar='root ::= "go" "yes"',
        grammar_lazy=True,
        grammar_trigger_patterns=["please (go)"],
    )
    sampler.accept(model.tokenize("oh please go"))
    assert model.piece(sample(context, sampler)) == b"y"


def test_the_prompts_part_of_an_answer_is_fed_to_the_grammar(
    context: Context, model: Model
) -> None:
    steps.feed(context, [1, 2, 3])
    sampler = Sampler(
        model, temperature=0.0, grammar='root ::= "<think>no" [a-c]', grammar_prefill="<think>no"
    )
    for _ in range(2):
        assert model.piece(sample(context, sampler)) in (b"a", b"b", b"c")
        sampler.reset()
    with pytest.raises(errors.InvalidGrammar, match="does not fit the grammar"):
        Sampler(model, grammar='root ::= "a"', grammar_prefill="b")


def test_tokens_outside_the_grammar_change_nothing(context: Context, model: Model) -> None:
    steps.feed(context, [1, 2, 3])
    sampler = Sampler(model, temperature=0.0, grammar='root ::= "ab"')
    for tokens in (model.tokenize("b"), model.tokenize("ax"), [model.eos], [261]):
        with pytest.raises(errors.InvalidGrammar, match="does not fit the grammar"):
            sampler.accept(tokens)
    sampler.accept(model.tokenize("zz"), grammar=False)
    assert model.detokenize(written(model, context, sampler, 5, start=3)) == b"ab"
    with pytest.raises(errors.InvalidRequest):
        sampler.accept([265])


def test_a_grammar_nothing_can_follow_is_an_error(context: Context, model: Model) -> None:
    steps.feed(context, [1, 2, 3])
    bias = {token: -math.inf for token in range(N_VOCAB) if model.piece(token) == b"q"}
    sampler = Sampler(model, temperature=0.0, grammar='root ::= "q"', logit_bias=bias)
    with pytest.raises(errors.InvalidGrammar, match="no token of the model can continue"):
        sample(context, sampler)


def test_a_broken_trigger_pattern_is_named(model: Model) -> None:
    with pytest.raises(errors.InvalidGrammar, match=r"trigger pattern '\('"):
        Sampler(model, grammar='root ::= "a"', grammar_lazy=True, grammar_trigger_patterns=["("])
