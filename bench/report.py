"""What comes out of a measurement: a JSON file, and tables for the terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from bench.conditions import conditions
from bench.spread import Spread, spreads

JSON = dict[str, Any]
_WIDTH = 120
Bound = Literal["at most", "at least"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity, and the bound it is meant to keep, if there is one."""

    name: str
    spread: Spread
    unit: str = ""
    bound: Bound | None = None
    limit: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether the median keeps the bound."""
        match self.bound:
            case "at most":
                return self.spread.median <= self.limit
            case "at least":
                return self.spread.median >= self.limit
        return True

    def to_json(self) -> JSON:
        bound = {} if self.bound is None else {"bound": self.bound, "limit": self.limit}
        kept = {} if self.bound is None else {"kept": self.kept}
        return {"name": self.name, "unit": self.unit, **self.spread.to_json(), **bound, **kept}


def figure(
    name: str,
    values: Sequence[float],
    unit: str = "",
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Figure:
    """From measured values, of which there has to be one."""
    if at_most is not None:
        return Figure(name, Spread.of(values), unit, "at most", at_most)
    if at_least is not None:
        return Figure(name, Spread.of(values), unit, "at least", at_least)
    return Figure(name, Spread.of(values), unit)


def publish(figures: Sequence[Figure], options: argparse.Namespace) -> int:
    """Write and show the figures; the exit status is 1 if one of them breaks its bound."""
    measurement = options.out.stem
    write({"figures": {f"{f.name}": f.to_json() for f in figures}}, options)
    console().print(figures_table(measurement, figures))
    return 0 if all(each.kept for each in figures) else 1


def write(report: JSON, options: argparse.Namespace) -> None:
    """Add the conditions and the options, and put the report where the options say."""
    chosen = {key: _plain(value) for key, value in vars(options).items() if key != "out"}
    path: Path = options.out
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"conditions": conditions(), "options": chosen, **report}
    path.write_text(json.dumps(whole, indent=2) + "\n")
    note(f"written to {path}")


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def console() -> Console:
    """Standard output; wide enough for the tables where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH)


def note(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")


def figures_table(title: str, figures: Iterable[Figure]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("figure", "median", "range", "wanted"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for each in figures:
        spread = each.spread
        span = "" if spread.n == 1 else f"{number(spread.low)} .. {number(spread.high)}"
        goal = "" if each.bound is None else f"{each.bound} {number(each.limit)}"
        style = None if each.kept else "bold red"
        table.add_row(each.name, f"{number(spread.median)} {each.unit}", span, goal, style=style)
    return table


def rounds_table(report: JSON) -> Table:
    """Every workload and contender, with the ratio of the first contender's rate to its own."""
    table = Table()
    for heading in ("workload", "contender"):
        table.add_column(heading)
    subject = report["contenders_in_order"][0]
    for heading in ("rate/s", f"{subject} ÷ it", "TTFT p50", "gap p50", "gap p99", "memory"):
        table.add_column(heading, justify="right")
    columns = {
        figure: spreads(report["rounds"], figure)
        for figure in ("ttft_p50", "gap_p50", "gap_p99", "resident")
    }
    last = ""
    for (workload, contender), rate in spreads(report["rounds"], "rate").items():
        if workload != last and last:
            table.add_section()
        ratio = report["ratios"].get(workload, {}).get(contender, {}).get("rate")
        ttft, gap, gap_99, memory = (each.get((workload, contender)) for each in columns.values())
        table.add_row(
            "" if workload == last else workload,
            contender,
            rate.text(1),
            Spread.from_json(ratio).text() if ratio else "",
            f"{ttft.median:.3f} s" if ttft else "",
            f"{gap.median * 1000:.0f} ms" if gap else "",
            f"{gap_99.median * 1000:.0f} ms" if gap_99 else "",
            f"{memory.median / 2**20:.0f} MiB" if memory else "",
        )
        last = workload
    return table


def model_of(options: JSON) -> str:
    """What was measured, from the options of a report."""
    return str(options["model"] or f"{options['shape']} {options['type']}")


def number(value: float) -> str:
    """Three digits or more: ``0.0123``, ``1.23``, ``1,234``."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.3g}"
