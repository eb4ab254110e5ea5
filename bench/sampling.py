"""How long choosing one token takes, out of 152 thousand, beside llama.cpp's own chain.

    python -m bench.sampling [--kernels avx2] [--rounds 20] [--threads 2]

The logits are those of a synthetic model. ``peaked`` adds a few hundred likely tokens, as trained
models have them, by way of a bias; ``flat`` leaves all tokens about equally likely, the worst case.
Each round takes the samplers in turn; a figure is the median of all rounds, in milliseconds per
token. llama.cpp's chain is given no more to do than a server would give it: one list of all
candidates, then the steps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.native.llama_chain import LlamaChain

from bench import synth
from pyollama import _native
from pyollama._native import Context, Model, Sampler

WANTED_MS = 0.3
ROWS = 8
CASES: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "defaults: top-k 40, top-p 0.9": {},
    "defaults and penalties": {"repeat_penalty": 1.1, "presence_penalty": 0.2},
    "temperature only": {"top_k": 0, "top_p": 1.0},
    "top-p 0.9": {"top_k": 0},
    "min-p 0.05": {"top_k": 0, "top_p": 1.0, "min_p": 0.05},
    "top-n-sigma 1": {"top_k": 0, "top_p": 1.0, "top_n_sigma": 1.0},
    "top-k 40, XTC": {"top_p": 1.0, "xtc_probability": 0.5, "xtc_threshold": 0.05},
    "top-k 40, DRY": {"dry_multiplier": 0.8, "dry_sequence_breakers": ()},
    "mirostat 2": {"mirostat": 2},
}


def bias(random: np.random.Generator, n_vocab: int, count: int) -> dict[int, float]:
    tokens = random.integers(n_vocab, size=count).tolist()
    return dict(zip(tokens, random.uniform(4, 14, count).tolist(), strict=True))


def milliseconds(action: Callable[[], object], times: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - begin) * 1000 / times


class Case:
    """The same logits and parameters for one row, for several, and for llama.cpp's chain."""

    def __init__(self, model: Model, context: Context, peaks: dict[int, float], **parameters: Any):
        self._context = context
        self._samplers = [
            Sampler(model, seed=i, logit_bias=peaks, **parameters) for i in range(ROWS)
        ]
        self._logits: NDArray[np.float32] = context.logits([0])[0]
        for token, value in peaks.items():
            self._logits[token] += np.float32(value)
        parameters.pop("dry_sequence_breakers", None)
        if parameters.get("temperature") == 0.0:
            parameters |= {"temperature": 1.0, "top_k": 1}
        self._chain = LlamaChain(model.n_vocab, **parameters)
        history = np.random.default_rng(1).integers(50, size=200)
        for sampler in self._samplers:
            sampler.accept(history)
        self._chain.accept(history.tolist())

    def measure(self) -> tuple[float, float, float]:
        """One row, each of several rows, llama.cpp's chain."""
        every = range(ROWS)
        return (
            milliseconds(lambda: self._context.sample([0], self._samplers[:1]), 5),
            milliseconds(lambda: self._context.sample(every, self._samplers), 3) / ROWS,
            milliseconds(lambda: self._chain.sample(self._logits), 2),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", choices=_native.kernels(), default=_native.kernels()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    _native.set_kernels(options.kernels)
    with (
        Model(synth.model("tiny-qwen2")) as model,
        Context(model, n_ctx=64, n_seq_max=ROWS, n_threads=options.threads) as context,
    ):
        context.decode(range(ROWS), [0] * ROWS, range(ROWS), [1] * ROWS)
        random = np.random.default_rng(1)
        peaks = bias(random, model.n_vocab, 300)
        cases = {
            (name, shape): Case(model, context, peaks if shape == "peaked" else {}, **parameters)
            for name, parameters in CASES.items()
            for shape in ("peaked", "flat")
        }
        figures: dict[tuple[str, str], list[tuple[float, float, float]]] = {c: [] for c in cases}
        for _ in range(options.rounds):
            for key, case in cases.items():
                figures[key].append(case.measure())
        print(f"{model.n_vocab} tokens, {options.kernels}, {options.threads} threads; ms per token")
        print(f"{'':32} {'logits':8} {'1 row':>7} {f'of {ROWS}':>7} {'llama.cpp':>9} {'ratio':>6}")
        for (name, shape), rounds in figures.items():
            one, several, theirs = (
                statistics.median(column) for column in zip(*rounds, strict=True)
            )
            ratio = statistics.median(row[2] / row[0] for row in rounds)
            late = "" if max(one, several) <= WANTED_MS else f"  above {WANTED_MS}"
            print(
                f"{name:32} {shape:8} {one:7.3f} {several:7.3f} {theirs:9.3f} {ratio:5.0f}x{late}"
            )


if __name__ == "__main__":
    main()
