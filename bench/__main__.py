"""``python -m bench``: workloads against servers, in turn, as JSON and as a table of ratios."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import raw, servers, synth, workloads
from bench.drive import play

JSON = dict[str, Any]
Start = Callable[[Path, int, int, bool], AbstractContextManager[servers.Server]]

_SERVERS: dict[str, Start] = {
    "pyollama": lambda m, t, p, _: servers.pyollama(m, threads=t, parallel=p),
    "ollama": lambda m, t, p, _: servers.ollama(m, threads=t, parallel=p),
    "llama-server": lambda m, t, p, e: servers.llama_server(m, threads=t, parallel=p, embedding=e),
}


def main() -> None:
    arguments = _arguments()
    report: JSON = {"conditions": _conditions(arguments), "rounds": [], "limits": {}}
    for name in arguments.workload:
        embeds = isinstance(workloads.build(name, 0), workloads.Embedding)
        model = synth.model("minilm-l6") if embeds else synth.model(arguments.shape, arguments.type)
        if arguments.limits and (limit := raw.limit(name, model, arguments.threads)):
            report["limits"][name] = limit
        for number in range(arguments.rounds):
            for server in arguments.server:
                report["rounds"].append(_round(server, name, number, model, embeds, arguments))
    report["ratios"] = _ratios(report["rounds"], arguments.server[0])
    text = json.dumps(report, indent=2)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n")
    else:
        sys.stdout.write(text + "\n")
    sys.stderr.write(_table(report))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--workload", nargs="+", choices=workloads.NAMES, default=workloads.NAMES)
    parser.add_argument("--server", nargs="+", choices=_SERVERS, default=["pyollama"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--shape", choices=synth.SHAPES, default="qwen2.5-0.5b")
    parser.add_argument("--type", default="Q4_0", help="file type of the generating model")
    parser.add_argument("--limits", action="store_true", help="measure llama.cpp's own limits too")
    parser.add_argument("--out", type=Path, help="file for the JSON (default: standard output)")
    return parser.parse_args()


def _round(
    server: str, name: str, number: int, model: Path, embeds: bool, arguments: argparse.Namespace
) -> JSON:
    """A fresh server, one unmeasured warm-up that loads the model, then the workload."""
    start = _SERVERS[server]
    with start(model, arguments.threads, arguments.parallel, embeds) as running:
        warm_up = workloads.build("embed256" if embeds else "single", -1)
        asyncio.run(play(running.base_url, running.dialect, warm_up))
        measured = asyncio.run(
            play(running.base_url, running.dialect, workloads.build(name, number))
        )
    row = {"workload": name, "server": server, "round": number, **measured.summary()}
    sys.stderr.write(f"{name:>9} {server:>13} {measured.rate:8.1f}/s\n")
    return row


def _conditions(arguments: argparse.Namespace) -> JSON:
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "model": f"{arguments.shape} {arguments.type}",
        "threads": arguments.threads,
        "parallel": arguments.parallel,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _ratios(rounds: list[JSON], reference: str) -> JSON:
    """Median over the rounds of ``reference``'s rate divided by each other server's."""
    rates = {(row["workload"], row["server"], row["round"]): row["rate"] for row in rounds}
    ratios: dict[str, dict[str, list[float]]] = {}
    for (name, server, number), rate in rates.items():
        if server != reference:
            ours = rates[name, reference, number]
            ratios.setdefault(name, {}).setdefault(server, []).append(ours / rate)
    return {
        name: {
            server: {"median": statistics.median(r), "min": min(r), "max": max(r)}
            for server, r in by_server.items()
        }
        for name, by_server in ratios.items()
    }


def _table(report: JSON) -> str:
    lines = [f"\n{'workload':>9} {'server':>13} {'rate/s':>8} {'TTFT p50':>9} {'ratio':>6}"]
    keys = dict.fromkeys((row["workload"], row["server"]) for row in report["rounds"])
    for name, server in keys:
        rows = [r for r in report["rounds"] if (r["workload"], r["server"]) == (name, server)]
        rate = statistics.median(row["rate"] for row in rows)
        first = [row["ttft_p50"] for row in rows if "ttft_p50" in row]
        ttft = f"{statistics.median(first):8.2f}s" if first else ""
        ratio = report["ratios"].get(name, {}).get(server)
        shown = f"{ratio['median']:6.2f}" if ratio else ""
        lines.append(f"{name:>9} {server:>13} {rate:8.1f} {ttft:>9} {shown:>6}")
    for name, limit in report["limits"].items():
        lines.append(f"{name:>9} {'raw limit':>13} {limit['rate']:8.1f}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
