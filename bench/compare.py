"""Two reports of the same measurement: has anything become slower beyond its own spread?

Reports of workloads are compared by their ratios to a contender that was measured in the same
rounds, so they may come from different hours. Other reports are compared by their bounded figures.
The exit status is 1 if something fell by more than the tolerance and lies outside the old spread.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.report import console
from bench.spread import Spread

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both reports."""

    name: str
    old: Spread
    new: Spread
    more_is_better: bool

    @property
    def gain(self) -> float:
        """How much better the median has become: 0.1 is ten percent, negative is worse."""
        if not self.old.median or not self.new.median:
            return 0.0
        if self.more_is_better:
            return self.new.median / self.old.median - 1
        return self.old.median / self.new.median - 1

    def regressed(self, tolerance: float) -> bool:
        """Worse by more than ``tolerance``, and worse than anything the old report saw."""
        if self.more_is_better:
            outside = self.new.median < self.old.low
        else:
            outside = self.new.median > self.old.high
        return outside and self.gain < -tolerance


def changes(old: JSON, new: JSON, against: str | None = None) -> Iterator[Change]:
    """What both reports have; of workloads only the ratios to ``against`` if that is given."""
    for workload, peers in old.get("ratios", {}).items():
        for peer, figures in peers.items():
            if against in (None, peer):
                there = new.get("ratios", {}).get(workload, {}).get(peer, {})
                yield from _ratio_changes(f"{workload} ÷ {peer}", figures, there)
    for name, figure in old.get("figures", {}).items():
        other = new.get("figures", {}).get(name)
        if other is not None and "bound" in figure:
            more = figure["bound"] == "at least"
            yield Change(name, Spread.from_json(figure), Spread.from_json(other), more)


def _ratio_changes(name: str, old: JSON, new: JSON) -> Iterator[Change]:
    for figure in old.keys() & new.keys():
        spreads = Spread.from_json(old[figure]), Spread.from_json(new[figure])
        yield Change(f"{name}, {figure}", *spreads, more_is_better=figure == "rate")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--against", help="only the ratios to this contender")
    parser.add_argument("--tolerance", type=float, default=0.05, help="what may be lost (0.05)")


def run(options: argparse.Namespace) -> int:
    old, new = (json.loads(path.read_text()) for path in (options.old, options.new))
    found = sorted(changes(old, new, options.against), key=lambda change: change.name)
    if not found:
        print("the two reports have nothing in common")
        return 2
    console().print(_table(found, options.tolerance))
    return 1 if any(change.regressed(options.tolerance) for change in found) else 0


def _table(found: list[Change], tolerance: float) -> Table:
    table = Table()
    table.add_column("figure")
    for heading in ("old", "new", "gain", ""):
        table.add_column(heading, justify="right")
    for change in found:
        bad = change.regressed(tolerance)
        table.add_row(
            change.name,
            change.old.text(3),
            change.new.text(3),
            f"{change.gain:+.1%}",
            "REGRESSED" if bad else "",
            style="bold red" if bad else None,
        )
    return table
