"""Medians with their spread, and ratios between contenders of the same round. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

JSON = dict[str, Any]
COMPARED = ("rate", "ttft_p50")
"""Figures of a round that ratios are made of: more is better for the first, less for the others."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of one thing."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Of at least one value."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1], len(ordered))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(values["median"], values["low"], values["high"], values["n"])

    def to_json(self) -> JSON:
        return asdict(self)

    def text(self, digits: int = 2) -> str:
        """``1.08 (1.02..1.11)``, or just the value where there is one."""
        if self.n == 1:
            return f"{self.median:.{digits}f}"
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}..{self.high:.{digits}f})"


def percentile(values: Sequence[float], percent: int) -> float:
    """With linear interpolation; of at least one value."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def spreads(rows: Iterable[JSON], figure: str) -> dict[tuple[str, str], Spread]:
    """(workload, contender) to the spread of ``figure`` over the rounds, in order of appearance."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if figure in row:
            values.setdefault((row["workload"], row["contender"]), []).append(row[figure])
    return {key: Spread.of(each) for key, each in values.items()}


def ratios(rows: Sequence[JSON], subject: str) -> JSON:
    """workload to contender to figure to the spread of ``subject``'s value divided by the other's.

    Only values of the same round are divided by each other, because a machine's speed drifts.
    """
    table: JSON = {}
    for figure in COMPARED:
        values = {
            (row["workload"], row["contender"], row["round"]): row[figure]
            for row in rows
            if figure in row
        }
        for (workload, other), each in _divided(values, subject).items():
            entry = table.setdefault(workload, {}).setdefault(other, {})
            entry[figure] = Spread.of(each).to_json()
    return table


def _divided(
    values: Mapping[tuple[str, str, int], float], subject: str
) -> dict[tuple[str, str], list[float]]:
    divided: dict[tuple[str, str], list[float]] = {}
    for (workload, other, number), value in values.items():
        ours = values.get((workload, subject, number))
        if other != subject and ours is not None and value:
            divided.setdefault((workload, other), []).append(ours / value)
    return divided
