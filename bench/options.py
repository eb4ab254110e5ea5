"""Choices that most measurements have in common."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import synth
from bench.peers import ROOT
from bench.servers import Wanted
from pyollama.engine.cpus import usable_cores

RESULTS = ROOT / "bench" / "results"


def add_common(parser: argparse.ArgumentParser, *, shape: str = "qwen2.5-0.5b") -> None:
    """Model, threads, rounds and where the result goes."""
    parser.add_argument("--shape", choices=synth.SHAPES, default=shape, help="shape of the model")
    parser.add_argument("--type", default="Q4_0", help="file type of the model")
    parser.add_argument("--model", type=Path, help="a GGUF file instead of a synthetic model")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--parallel", type=int, default=8, help="requests a server runs at a time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable for pyollama's server; may be given several times",
    )
    name = parser.prog.rpartition(" ")[2]
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", help="the JSON")


def wanted(options: argparse.Namespace, *, parallel: int = 0, n_ctx: int = 0) -> Wanted:
    """What the options ask for; writes the model if the cache lacks it."""
    return Wanted(
        model=options.model or synth.model(options.shape, options.type),
        threads=options.threads,
        parallel=parallel or options.parallel,
        n_ctx=n_ctx,
        environment=environment(options),
    )


def environment(options: argparse.Namespace) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in options.env)
