"""``python -m bench``: workloads against servers in turn, as JSON, tables and plots.

Each round starts a fresh server, loads the model with an unmeasured request and plays one workload
from the client's side. Contenders take turns (A B A B ...), because a machine's speed drifts: only
ratios within a round mean something. Who goes first changes from round to round.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from bench import peers, raw, servers, synth
from bench.drive import Measured, in_turn, play
from bench.options import add_common, environment, wanted
from bench.peers import PeerMissing
from bench.processes import family
from bench.report import console, note, rounds_table, write
from bench.servers import Server, Start, Wanted
from bench.spread import ratios
from bench.workloads import DEFAULT, SHAPES, WARM_UP, Texts, build

JSON = dict[str, Any]
RAW = "raw limit"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    choices = [*servers.SERVERS, "engine"]
    parser.add_argument("--workload", nargs="+", choices=SHAPES, default=list(DEFAULT))
    parser.add_argument(
        "--server",
        nargs="+",
        choices=choices,
        default=["pyollama", "llama-server", "ollama"],
        help="the first one is divided by each of the others; 'engine' is pyollama without HTTP",
    )
    parser.add_argument("--no-limits", dest="limits", action="store_false", help="no raw limits")
    parser.add_argument("--no-plots", dest="plots", action="store_false", help="no pictures")


def run(options: argparse.Namespace) -> int:
    contenders, skipped = _contenders(options)
    rows = [row for name in options.workload for row in _play_rounds(name, contenders, options)]
    report: JSON = {
        "contenders_in_order": list(contenders),
        "contenders": {name: _about(name) for name in contenders},
        "skipped": skipped,
        "rounds": rows,
        "ratios": ratios(rows, next(iter(contenders))),
        "workloads": {name: SHAPES[name].text for name in options.workload},
    }
    write(report, options)
    console().print(rounds_table(report))
    if options.plots:
        _draw(options.out)
    return 0


def _contenders(options: argparse.Namespace) -> tuple[dict[str, Start | None], dict[str, str]]:
    """Those that are there, and why others are not. The raw limit has nothing to start."""
    from bench.inprocess import engine

    there: dict[str, Start | None] = {}
    skipped: dict[str, str] = {}
    for name in options.server:
        if (reason := servers.missing(name)) is None:
            there[name] = engine if name == "engine" else servers.SERVERS[name]
        else:
            skipped[name] = reason
            note(f"without {name}: {reason}")
    if not there:
        raise SystemExit("bench: there is no server to measure")
    if options.limits:
        there[RAW] = None
    return there, skipped


def _about(name: str) -> JSON:
    if name in (RAW, "engine"):
        return {}
    build = {"build": peers.build_options(peers.BUILT)} if name == "llama-server" else {}
    return {"version": servers.version(name), **build}


def _play_rounds(
    workload: str, contenders: dict[str, Start | None], options: argparse.Namespace
) -> list[JSON]:
    asked = _wanted(workload, options)
    rows = []
    for number in range(options.rounds):
        for name in in_turn(list(contenders), number):
            start = contenders[name]
            figures = (
                _limit(workload, asked) if start is None else _round(start, workload, number, asked)
            )
            if figures:
                rows.append({"workload": workload, "contender": name, "round": number} | figures)
                note(f"{workload:>9} {name:>16} {figures['rate']:8.1f}/s")
    return rows


def _wanted(workload: str, options: argparse.Namespace) -> Wanted:
    shape = SHAPES[workload]
    if isinstance(shape, Texts):
        model = synth.model("minilm-l6")
        return Wanted(model, options.threads, embeds=True, environment=environment(options))
    return wanted(options, parallel=max(options.parallel, shape.n))


def _limit(workload: str, wanted: Wanted) -> JSON | None:
    try:
        return dict(raw.limit(SHAPES[workload], wanted.model, wanted.threads) or {})
    except PeerMissing as error:
        note(f"no limit: {error}")
        return None


def _round(start: Start, workload: str, number: int, wanted: Wanted) -> JSON:
    """A fresh server, one unmeasured warm-up that loads the model, then the workload."""
    with start(wanted) as running:
        measured = asyncio.run(_measure(running, workload, number, embeds=wanted.embeds))
        resident = sum(use.resident for use in family(running.pid))
    return {**measured.summary(), "resident": resident, "flags": list(running.flags)}


async def _measure(running: Server, workload: str, number: int, *, embeds: bool) -> Measured:
    dialect = running.connect()
    try:
        await play(dialect, build(WARM_UP[embeds], -1))
        return await play(dialect, build(workload, number))
    finally:
        await dialect.close()


def _draw(report: Path) -> None:
    from bench import plots

    try:
        for path in plots.draw_all(report):
            note(f"drawn: {path}")
    except ImportError:
        note("no plots: pip install --group bench")
