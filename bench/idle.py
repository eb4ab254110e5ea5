"""A loaded server without work: processor time and memory of each of its processes."""

from __future__ import annotations

import argparse
import asyncio
import time

from bench import servers
from bench.drive import play
from bench.options import add_common, wanted
from bench.processes import Use, family
from bench.report import Figure, figure, publish
from bench.servers import Server, Wanted
from bench.workloads import Clients, of_shape

_SETTLE = 3.0
_MIB = 1 << 20


def add_options(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument("--seconds", type=float, default=20, help="how long to look on")
    parser.add_argument(
        "--server", nargs="+", choices=servers.SERVERS, default=["pyollama"], help="whom to watch"
    )


def run(options: argparse.Namespace) -> int:
    figures: list[Figure] = []
    for name in options.server:
        figures += _measure(name, wanted(options), options.seconds)
    return publish(figures, options)


def _measure(name: str, asked: Wanted, seconds: float) -> list[Figure]:
    ours = name == "pyollama"
    with servers.SERVERS[name](asked) as server:
        asyncio.run(_load(server))
        time.sleep(_SETTLE)
        before, begin = family(server.pid), time.monotonic()
        time.sleep(seconds)
        after, wall = family(server.pid), time.monotonic() - begin
    used = [100 * cpu / wall for cpu in _cpu(before, after)]
    whole = f"{name}, idle processor time"
    figures = [figure(whole, [sum(used)], "% of a core", at_most=0.5 if ours else None)]
    for use, percent in zip(after, used, strict=True):
        process = f"{name}, {use.role}"
        most = 120.0 if ours and use.role == "server" else None
        figures += [
            figure(f"{process}, idle processor time", [percent], "% of a core"),
            figure(f"{process}, resident", [use.resident / _MIB], "MiB", at_most=most),
            figure(f"{process}, private", [use.private / _MIB], "MiB"),
            figure(f"{process}, threads", [use.threads]),
        ]
    return figures


async def _load(server: Server) -> None:
    dialect = server.connect()
    await play(dialect, of_shape(Clients(1, (16,), 8), "load"))
    await dialect.close()


def _cpu(before: list[Use], after: list[Use]) -> list[float]:
    """Seconds of processor time in between, of each process that is there in the end."""
    earlier = {use.pid: use.cpu for use in before}
    return [use.cpu - earlier.get(use.pid, 0.0) for use in after]
