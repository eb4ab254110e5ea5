"""Running streams while a long prompt is computed: how long do their readers wait?

Some clients stream; when all are under way another one sends a long prompt. What counts is the
time between two pieces while that prompt is computed, against what it was before.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from contextlib import aclosing
from dataclasses import dataclass, field

from bench import servers
from bench.dialects import Dialect
from bench.drive import in_turn, play
from bench.options import add_common, wanted
from bench.report import Figure, figure, note, publish
from bench.servers import Wanted
from bench.spread import percentile
from bench.workloads import Clients, of_shape, words

_ENOUGH = 10**6
"""An answer that does not end by itself before it is cancelled."""


@dataclass(slots=True)
class Stream:
    """When the pieces of an answer came, in seconds."""

    times: list[float] = field(default_factory=list)

    def gaps(self, begin: float, end: float) -> list[float]:
        """Those that end between two moments."""
        pairs = zip(self.times, self.times[1:], strict=False)
        return [later - earlier for earlier, later in pairs if begin < later <= end]


def add_options(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument("--prefix", type=int, default=1024, help="tokens of the long prompt")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--before", type=int, default=24, help="pieces of each stream before it")
    parser.add_argument(
        "--server", nargs="+", choices=servers.SERVERS, default=["pyollama"], help="whom to ask"
    )


def run(options: argparse.Namespace) -> int:
    asked = wanted(options, n_ctx=options.prefix + 1024)
    results: dict[str, list[dict[str, float]]] = {}
    for number in range(options.rounds):
        for name in in_turn(options.server, number):
            if (reason := servers.missing(name)) is None:
                results.setdefault(name, []).append(_round(name, asked, number, options))
            else:
                note(f"without {name}: {reason}")
    figures = [f for name, rounds in results.items() for f in _figures(name, rounds)]
    return publish(figures, options)


def _figures(name: str, rounds: list[dict[str, float]]) -> list[Figure]:
    columns = {key: [each[key] for each in rounds] for key in rounds[0]}
    most = 5.0 if name == "pyollama" else None
    ratios = [a / b for a, b in zip(columns["p99"], columns["median"], strict=True)]
    return [
        figure(f"{name}, gap before, median", columns["median"], "ms"),
        figure(f"{name}, gap during, median", columns["during"], "ms"),
        figure(f"{name}, gap during, p99", columns["p99"], "ms"),
        figure(f"{name}, p99 during ÷ median before", ratios, at_most=most),
        figure(f"{name}, long prompt, first token", columns["long"], "ms"),
    ]


def _round(name: str, asked: Wanted, number: int, options: argparse.Namespace) -> dict[str, float]:
    with servers.SERVERS[name](asked) as server:
        return asyncio.run(_measure(server.connect(), number, options))


async def _measure(dialect: Dialect, number: int, options: argparse.Namespace) -> dict[str, float]:
    """Milliseconds."""
    await play(dialect, of_shape(Clients(1, (16,), 8), "warm-up"))
    rng = random.Random(number)
    streams = [Stream() for _ in range(options.streams)]
    tasks = [asyncio.create_task(_read(dialect, stream, words(rng, 20))) for stream in streams]
    try:
        while any(len(stream.times) <= options.before for stream in streams):
            _check(tasks)
            await asyncio.sleep(0.005)
        begin = time.perf_counter()
        async with aclosing(dialect.complete(words(rng, options.prefix), 1)) as pieces:
            await anext(pieces)
        end = time.perf_counter()
        _check(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await dialect.close()
    before = [gap for stream in streams for gap in stream.gaps(0, begin)]
    during = [gap for stream in streams for gap in stream.gaps(begin, end)] or [end - begin]
    return {
        "median": 1000 * percentile(before, 50),
        "during": 1000 * percentile(during, 50),
        "p99": 1000 * percentile(during, 99),
        "long": 1000 * (end - begin),
    }


async def _read(dialect: Dialect, stream: Stream, prompt: str) -> None:
    async with aclosing(dialect.complete(prompt, _ENOUGH)) as pieces:
        async for _ in pieces:
            stream.times.append(time.perf_counter())


def _check(tasks: list[asyncio.Task[None]]) -> None:
    """A stream that has ended would make the measurement meaningless."""
    for task in tasks:
        if task.done():
            task.result()
            raise RuntimeError("a stream ended before the long prompt was answered")
