"""What worker process and HTTP add to the engine: time to the first token, and throughput.

The same model is loaded twice, in this process and behind a server, and both are asked in turn.
"""

from __future__ import annotations

import argparse
import asyncio

from bench import servers
from bench.dialects import Dialect
from bench.drive import in_turn, play
from bench.inprocess import loaded
from bench.options import add_common, wanted
from bench.report import Figure, figure, publish
from bench.workloads import Clients, of_shape

_SHORT = Clients(1, (16,), 1)


def add_options(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument("--requests", type=int, default=20, help="short requests to each")
    parser.add_argument("--output", type=int, default=64, help="tokens of each longer answer")


def run(options: argparse.Namespace) -> int:
    asked = wanted(options)
    with loaded(asked) as engine, servers.pyollama(asked) as server:
        return publish(asyncio.run(_measure(engine, server.connect(), options)), options)


async def _measure(engine: Dialect, server: Dialect, options: argparse.Namespace) -> list[Figure]:
    pair = [engine, server]
    for dialect in pair:
        await play(dialect, of_shape(_SHORT, "warm-up"))
    first = await _first_tokens(pair, options.requests)
    added = [1000 * (b - a) for a, b in first]
    figures = [
        figure("first token, engine", [1000 * a for a, _ in first], "ms"),
        figure("first token, HTTP", [1000 * b for _, b in first], "ms"),
        figure("first token, added by HTTP", added, "ms", at_most=5),
    ]
    for n in (1, options.parallel):
        shape = Clients(n, (16,), options.output)
        rates = await _rates(pair, shape, options.rounds)
        what = f"throughput of {n} stream{'s' * (n > 1)}"
        figures += [
            figure(f"{what}, engine", [a for a, _ in rates], "tok/s"),
            figure(f"{what}, HTTP", [b for _, b in rates], "tok/s"),
            figure(f"{what}, HTTP ÷ engine", [b / a for a, b in rates], at_least=0.97),
        ]
    await server.close()
    return figures


async def _first_tokens(pair: list[Dialect], n: int) -> list[tuple[float, float]]:
    """Seconds to the first token, of engine and server."""
    found = []
    for number in range(n):
        times = {}
        for dialect in in_turn(pair, number):
            workload = of_shape(_SHORT, f"short {number}")
            times[dialect] = (await play(dialect, workload)).first_token[0]
        found.append((times[pair[0]], times[pair[1]]))
    return found


async def _rates(pair: list[Dialect], shape: Clients, rounds: int) -> list[tuple[float, float]]:
    found = []
    for number in range(rounds):
        rates = {}
        for dialect in in_turn(pair, number):
            workload = of_shape(shape, f"{shape.n} streams, {number}")
            rates[dialect] = (await play(dialect, workload)).rate
        found.append((rates[pair[0]], rates[pair[1]]))
    return found
