"""The engine in this process against llama-bench: prompt and output tokens per second.

Both compute the same: a prompt by itself, and tokens one after the other from an empty context. The
engine also samples each token, turns it into text and hands it out; llama-bench does not.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from contextlib import aclosing
from dataclasses import dataclass, field

from bench import raw
from bench.drive import in_turn
from bench.inprocess import InProcess, loaded
from bench.options import add_common, wanted
from bench.report import figure, publish
from bench.servers import Wanted
from pyollama.types import Tokens, Usage

_ENGINE, _BENCH = "engine", "llama-bench"


@dataclass(slots=True)
class Speeds:
    """Tokens per second, one value a round."""

    prefill: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)


def add_options(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prompt")
    parser.add_argument("--output", type=int, default=128, help="tokens of the answer")


def run(options: argparse.Namespace) -> int:
    asked = wanted(options, parallel=1, n_ctx=options.prompt + options.output)
    speeds = {_ENGINE: Speeds(), _BENCH: Speeds()}
    with loaded(asked) as engine:
        asyncio.run(_prefill(engine, options.prompt))  # pages of the file, first use of buffers
        for number in range(options.rounds):
            for name in in_turn([_ENGINE, _BENCH], number):
                _measure(name, engine, asked, options, speeds[name])
    ours, theirs = speeds[_ENGINE], speeds[_BENCH]
    return publish(
        [
            figure("prefill, engine", ours.prefill, "tok/s"),
            figure("prefill, llama-bench", theirs.prefill, "tok/s"),
            figure("prefill, ratio", _ratios(ours.prefill, theirs.prefill), at_least=0.98),
            figure("decode, engine", ours.decode, "tok/s"),
            figure("decode, llama-bench", theirs.decode, "tok/s"),
            figure("decode, ratio", _ratios(ours.decode, theirs.decode), at_least=0.98),
        ],
        options,
    )


def _ratios(ours: list[float], theirs: list[float]) -> list[float]:
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def _measure(
    name: str, engine: InProcess, asked: Wanted, options: argparse.Namespace, speeds: Speeds
) -> None:
    if name == _ENGINE:
        speeds.prefill.append(asyncio.run(_prefill(engine, options.prompt)))
        speeds.decode.append(asyncio.run(_decode(engine, options.output)))
        return
    for row in raw.llama_bench(asked.model, asked.threads, options.prompt, options.output):
        (speeds.prefill if row["n_prompt"] else speeds.decode).append(row["avg_ts"])


async def _prefill(engine: InProcess, n_prompt: int) -> float:
    """Prompt tokens per second, from the request to the first token."""
    begin = time.perf_counter()
    async with aclosing(engine.go_on(_random_tokens(engine, n_prompt), 1)) as events:
        async for _ in events:
            break
    return n_prompt / (time.perf_counter() - begin)


async def _decode(engine: InProcess, n_output: int) -> float:
    """Tokens per second from the first event to the end."""
    begin, n_first, n_all = 0.0, 0, 0
    async with aclosing(engine.go_on(_random_tokens(engine, 1), n_output)) as events:
        async for event in events:
            if isinstance(event, Tokens) and not begin:
                begin, n_first = time.perf_counter(), len(event.tokens)
            elif isinstance(event, Usage):
                n_all = event.completion_tokens
    return (n_all - n_first) / (time.perf_counter() - begin)


def _random_tokens(engine: InProcess, n: int) -> list[int]:
    """Other ones each time, from the part of a vocabulary that has no special tokens."""
    most = min(engine.engine.info.n_vocab // 2, 50_000)
    return random.choices(range(most // 4, most), k=n)
