"""Layout and type of the KV cache, attention, micro-batch, threads: what each choice costs.

Contexts that differ in one thing take turns on the same model. In each a prompt is computed, its
cells are given to seven more sequences, and steps are taken: of one sequence, of eight that share
the prompt, of eight with texts of their own. Ratios are to the context that pyollama would make;
above 1 a choice is slower.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from bench.drive import in_turn
from bench.options import add_common, wanted
from bench.report import Figure, figure, publish
from pyollama._native import Context, Model

_STREAMS = 8
_OWN = 210
"""Tokens of a text that shares nothing."""

_STEPS = 12
_AS_IT_IS = "as it is"
CHOICES: dict[str, dict[str, Any]] = {
    _AS_IT_IS: {},
    "a stream for each sequence": {"kv_unified": False},
    "cache in q8_0": {"type_k": "q8_0", "type_v": "q8_0"},
    "no flash attention": {"flash_attn": False},
    "micro-batches of 128": {"n_ubatch": 128},
    "micro-batches of 256": {"n_ubatch": 256},
    "micro-batches of 1024": {"n_ubatch": 1024},
    "one thread": {"n_threads": 1, "n_threads_batch": 1},
}


def add_options(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument("--prompt", type=int, default=1000, help="tokens of the shared prompt")
    parser.add_argument("--choice", nargs="+", choices=CHOICES, default=list(CHOICES))


def run(options: argparse.Namespace) -> int:
    asked = wanted(options)
    model = Model(str(asked.model))
    seconds: dict[str, dict[str, list[float]]] = {}
    names = [_AS_IT_IS, *(name for name in options.choice if name != _AS_IT_IS)]
    for number in range(options.rounds):
        for name in in_turn(names, number):
            threads = {"n_threads": asked.threads, "n_threads_batch": asked.threads}
            with _context(model, options.prompt, threads | CHOICES[name]) as context:
                for what, took in _Play(context, options.prompt).measure().items():
                    seconds.setdefault(what, {}).setdefault(name, []).append(took)
    return publish(list(_figures(seconds)), options)


def _figures(seconds: dict[str, dict[str, list[float]]]) -> list[Figure]:
    figures = []
    for what, by_choice in seconds.items():
        usual = by_choice[_AS_IT_IS]
        figures.append(figure(what, [took * 1000 for took in usual], "ms"))
        for name, each in by_choice.items():
            if name != _AS_IT_IS:
                ratios = [mine / theirs for mine, theirs in zip(each, usual, strict=True)]
                figures.append(figure(f"{what}, {name}", ratios))
    return figures


def _context(model: Model, n_prompt: int, choice: dict[str, Any]) -> Context:
    cells = n_prompt + _STREAMS * (_OWN + 4 * _STEPS)
    if not choice.get("kv_unified", True):
        cells = _STREAMS * (n_prompt + 4 * _STEPS)
    usual: dict[str, Any] = {"n_ubatch": 512, "n_seq_max": _STREAMS}
    return Context(model, n_ctx=cells, n_batch=2048, **(usual | choice))


class _Play:
    """The same moves in every context."""

    def __init__(self, context: Context, n_prompt: int) -> None:
        self._context = context
        self._n_prompt = n_prompt
        self._random = random.Random(0)

    def measure(self) -> dict[str, float]:
        everyone = range(_STREAMS)
        self._text(0, 64)  # first use of buffers
        self._context.clear()
        found = {"prompt": _took(lambda: self._text(0, self._n_prompt))}
        found["step of one"] = self._steps([0], self._n_prompt)
        self._context.seq_rm(0, self._n_prompt, -1)
        found["prompt to seven more"] = _took(self._share)
        found["step of eight that share it"] = self._steps(everyone, self._n_prompt + 1)
        self._context.clear()
        for sequence in everyone:
            self._text(sequence, _OWN)
        found["step of eight by themselves"] = self._steps(everyone, _OWN)
        return found

    def _share(self) -> None:
        for sequence in range(1, _STREAMS):
            self._context.seq_cp(0, sequence)
        self._step(range(_STREAMS), self._n_prompt)  # copies are made when they are needed

    def _text(self, sequence: int, size: int) -> None:
        limit = self._context.n_batch
        for begin in range(0, size, limit):
            n = min(limit, size - begin)
            self._decode(list(range(begin, begin + n)), [sequence] * n)

    def _steps(self, sequences: Sequence[int], position: int) -> float:
        steps = (partial(self._step, sequences, position + n) for n in range(_STEPS))
        return median(map(_took, steps))

    def _step(self, sequences: Sequence[int], position: int) -> None:
        self._decode([position] * len(sequences), list(sequences))

    def _decode(self, positions: list[int], sequences: list[int]) -> None:
        tokens = self._random.choices(range(1000, 50_000), k=len(positions))
        outputs = np.zeros(len(positions), np.int8)
        outputs[-1] = 1
        self._context.decode(tokens, positions, sequences, outputs)
        self._context.logits()


def _took(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
