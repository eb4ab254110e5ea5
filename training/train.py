"""Trains the built-in model on CPU: tokenizer, network, held-out loss, GGUF.

usage: python -m training.train [--start FILE] [--steps N] [--rate R] [--hold SHARE] [--focus N]
                                [--seed N] [--out FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from numpy.typing import NDArray
from tokenizers import Tokenizer
from training import export, tokenizer
from training.corpus import Corpus
from training.documents import CHAT_TEMPLATE, Documents, Rows
from training.network import Params, Shape, initial, loss

MODEL = Path(__file__).parents[1] / "src" / "pyollama" / "builtin" / "model.gguf"
# Rows and their length. While the rate falls, every tenth step sees long conversations.
SHORT, LONG = (16, 256), (2, 2048)
WARM_UP, SAVE_EVERY, HELD_OUT_SEED = 30, 250, 12

Step = Callable[..., tuple[Params, optax.OptState, jax.Array]]


def main() -> None:
    options = argparse.ArgumentParser(description="Train the built-in model.")
    options.add_argument("--start", type=Path, help="go on from the weights of this file")
    options.add_argument("--steps", type=int, default=1300)
    options.add_argument("--rate", type=float, default=5e-3, help="peak learning rate")
    options.add_argument("--hold", type=float, default=0.4, help="share of steps at the peak rate")
    options.add_argument("--focus", type=float, default=1.0, help="more of what is learned last")
    options.add_argument("--seed", type=int, default=11)
    options.add_argument("--out", type=Path, default=MODEL)
    chosen = options.parse_args()
    shape = Shape()
    if chosen.start:
        weights, words = export.read(chosen.start)
        params = {name: jnp.asarray(value) for name, value in weights.items()}
        learned = tokenizer.load(words)
    else:
        params = initial(jax.random.key(chosen.seed), shape)
        learned = tokenizer.train(_sample(chosen.seed), shape.vocabulary)
    print(f"{sum(value.size for value in params.values())} parameters", flush=True)
    corpus = Corpus(chosen.seed, focus=chosen.focus)
    documents = Documents(corpus, learned, chosen.seed)
    judge = _Judge(learned, shape)
    held = int(chosen.steps * chosen.hold)
    optimizer = _optimizer(chosen.rate, chosen.steps, held)
    for done, tokens, trained in _train(params, documents, shape, optimizer, chosen.steps, held):
        if done % SAVE_EVERY == 0 or done == chosen.steps:
            rounded = _as_stored(trained)
            print(f"held-out {judge(rounded)}, {tokens} tokens seen", flush=True)
            _write(chosen.out, rounded, learned, shape)


def _train(
    params: Params,
    documents: Documents,
    shape: Shape,
    optimizer: optax.GradientTransformation,
    steps: int,
    held: int,
) -> Iterator[tuple[int, int, Params]]:
    """After each step: how many are done, how many tokens they have seen, the weights."""
    state = optimizer.init(params)
    step = _make_step(optimizer, shape)
    began, seen = time.monotonic(), 0
    for number in range(steps):
        long = number % 10 == 9 and number >= held
        rows = documents.rows(*(LONG if long else SHORT))
        seen += int((rows.segments >= 0).sum())
        params, state, value = step(params, state, *_arrays(rows))
        if number % 25 == 0:
            print(f"{number:5d} {float(value):.4f} {time.monotonic() - began:7.0f} s", flush=True)
        yield number + 1, seen, params


def _sample(seed: int, count: int = 12_000) -> list[str]:
    """Text to learn the vocabulary from. Non-ASCII text stays spread over its bytes."""
    corpus = Corpus(seed + 2)
    texts = [turn.text for _ in range(count) for turn in corpus.conversation()]
    return [*(text for text in texts if text.isascii()), *["system\nuser\nassistant\n"] * count]


def _optimizer(peak: float, steps: int, held: int) -> optax.GradientTransformation:
    """Muon for the matrices inside the blocks, Adam for embeddings, norms and biases."""
    rate = optax.join_schedules(
        [
            optax.linear_schedule(0.0, peak, WARM_UP),
            optax.constant_schedule(peak),
            optax.linear_schedule(peak, 0.0, steps - max(held, WARM_UP)),
        ],
        [WARM_UP, max(held, WARM_UP)],
    )
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.contrib.muon(
            rate,
            weight_decay=0.05,
            consistent_rms=0.2,
            adam_b2=0.98,
            adam_learning_rate=lambda count: 0.5 * rate(count),
            muon_weight_dimension_numbers=lambda params: {
                name: optax.contrib.MuonDimensionNumbers(1, 0) if _is_block_matrix(name) else None
                for name in params
            },
        ),
    )


def _is_block_matrix(name: str) -> bool:
    return name.startswith("blk.") and name.endswith(".weight") and "norm" not in name


def _make_step(optimizer: optax.GradientTransformation, shape: Shape) -> Step:
    @jax.jit
    def step(
        params: Params, state: optax.OptState, *rows: jax.Array
    ) -> tuple[Params, optax.OptState, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(params, *rows, shape=shape)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    return step


def _arrays(rows: Rows) -> tuple[NDArray[np.generic], ...]:
    return rows.tokens, rows.positions, rows.segments, rows.weights


def _as_stored(params: Params) -> Params:
    """The values as the file will hold them: matrices rounded to half precision."""
    return {
        name: value.astype(np.float16).astype(np.float32) if value.ndim > 1 else value
        for name, value in params.items()
    }


class _Judge:
    """Loss on answers that training never sees, per token and per byte."""

    def __init__(self, learned: Tokenizer, shape: Shape) -> None:
        documents = Documents(Corpus(HELD_OUT_SEED, held_out=True), learned, HELD_OUT_SEED)
        self._unseen = [documents.rows(*SHORT) for _ in range(8)]
        self._learned = learned
        self._loss = jax.jit(partial(loss, shape=shape))

    def __call__(self, params: Params) -> str:
        total = tokens = size = 0.0
        for rows in self._unseen:
            counts = rows.weights[:, 1:] > 0
            total += float(self._loss(params, *_arrays(rows))) * counts.sum()
            tokens += counts.sum()
            answers = self._learned.decode(rows.tokens[:, 1:][counts].tolist())
            size += len(answers.encode())
        return (
            f"{total / tokens:.4f} nats a token (perplexity {math.exp(total / tokens):.3f}), "
            f"{total / size:.4f} nats a byte, {int(tokens)} tokens"
        )


def _write(path: Path, params: Params, learned: Tokenizer, shape: Shape) -> None:
    export.write(
        path,
        {name: np.asarray(value) for name, value in params.items()},
        words=tokenizer.vocabulary(learned),
        control=tokenizer.CONTROL,
        shape=dataclasses.asdict(shape),
        chat_template=CHAT_TEMPLATE,
    )


if __name__ == "__main__":
    main()
