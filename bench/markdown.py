"""Reports as Markdown, for a page that shows what was measured."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.report import model_of, number
from bench.spread import Spread, spreads

JSON = dict[str, Any]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("report", nargs="+", type=Path, help="JSON files of 'python -m bench'")


def run(options: argparse.Namespace) -> int:
    print("\n\n".join(markdown(path.stem, json.loads(path.read_text())) for path in options.report))
    return 0


def markdown(name: str, report: JSON) -> str:
    """A table, and the conditions under it."""
    rows = _rounds(report) if "rounds" in report else _figures(name, report)
    return "\n".join([*_table(list(rows)), "", _conditions(report)])


def _rounds(report: JSON) -> Iterator[Sequence[str]]:
    """Medians of each contender, and the first one's ratio to each of the others."""
    first, *others = report["contenders_in_order"]
    yield ["workload", first, *others, *(f"÷ {other}" for other in others)]
    rates = spreads(report["rounds"], "rate")
    firsts = spreads(report["rounds"], "ttft_p50")
    for workload in report["workloads"]:
        cells = [
            _cell(rates.get((workload, each)), firsts.get((workload, each)))
            for each in (first, *others)
        ]
        ratios = report["ratios"].get(workload, {})
        shares = [ratios.get(other, {}).get("rate") for other in others]
        shown = [Spread.from_json(share).text() if share else "-" for share in shares]
        yield [workload, *cells, *shown]


def _cell(rate: Spread | None, first: Spread | None) -> str:
    if rate is None:
        return "-"
    return f"{rate.median:.1f}" + (f" ({first.median:.2f} s)" if first else "")


def _figures(name: str, report: JSON) -> Iterator[Sequence[str]]:
    yield [name, "median", "range", "wanted"]
    for each in report["figures"].values():
        low, high = number(each["low"]), number(each["high"])
        span = "" if each["n"] == 1 else f"{low} .. {high}"
        wanted = f"{each['bound']} {number(each['limit'])}" if "bound" in each else ""
        yield [each["name"], f"{number(each['median'])} {each['unit']}".rstrip(), span, wanted]


def _table(rows: list[Sequence[str]]) -> list[str]:
    head, *body = rows
    lines = [f"| {' | '.join(row)} |" for row in (head, *body)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def _conditions(report: JSON) -> str:
    conditions, options = report["conditions"], report["options"]
    hardware, versions = conditions["hardware"], conditions["versions"]
    return (
        f"{conditions['date'][:10]}, commit {conditions['commit']}, {hardware['processor']}, "
        f"{options['threads']} threads, {model_of(options)}, {options['rounds']} rounds, "
        f"llama.cpp {versions['llama.cpp']}."
    )
