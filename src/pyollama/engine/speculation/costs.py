"""What a step costs, by the number of its rows: measured, never assumed.

The curve has any shape. Where kernels work on tiles of rows, eight can be cheaper than seven; on a
GPU a hundred may cost as much as one. What moves is the level of all of it: contexts grow, other
programs come and go. So a step says something about steps of other sizes too, and sizes that were
measured at different times can be compared.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

_LEVEL_WEIGHT = 0.15  # of a new measurement in the level
_WEIGHT = 0.03  # and in the running mean of its size
_OUTLIER = 2.0  # a measurement counts as at most so many times the mean, and at least the inverse
_ENOUGH = 2  # measurements make a mean
_STALE = 2000  # steps after which a mean says nothing any more
_EXACT = 64  # above so many rows only powers of two are told apart


@dataclass(slots=True)
class _Mean:
    value: float
    count: int
    step: int

    def add(self, value: float, step: int) -> None:
        self.count += 1
        self.value += max(_WEIGHT, 1 / self.count) * (value - self.value)
        self.step = step


@dataclass(frozen=True, slots=True)
class Range:
    """What a step may take that has not been measured: hoped for, and feared."""

    least: float
    most: float


class StepCosts:
    """Seconds of a step of so many rows; contexts and machines change, so the past is forgotten."""

    def __init__(self) -> None:
        self._means: dict[int, _Mean] = {}
        self._rows: list[int] = []  # the keys, sorted
        self._step = 0
        self._level = 1.0  # the means are what steps would take at level 1

    def observe(self, rows: int, seconds: float) -> None:
        self._step += 1
        rows = rows if rows <= _EXACT else 1 << (rows.bit_length() - 1)
        mean = self._means.get(rows)
        if mean is None:
            insort(self._rows, rows)
        if mean is None or self._step - mean.step > _STALE:
            self._means[rows] = _Mean(seconds / self._level, 1, self._step)
            return
        usual = mean.value * self._level
        ratio = min(max(seconds / usual, 1 / _OUTLIER), _OUTLIER)
        if mean.count >= _ENOUGH:
            self._level *= ratio**_LEVEL_WEIGHT
        mean.add(usual * ratio / self._level, self._step)

    def measured(self, rows: int, max_age: int = _STALE) -> float | None:
        """Seconds of a step of ``rows``, if that was seen often enough and not too long ago."""
        mean = self._means.get(rows)
        if mean is None or mean.count < _ENOUGH or self._step - mean.step > max_age:
            return None
        return mean.value * self._level

    def bounds(self, rows: int) -> Range | None:
        """What is thinkable, from a single measurement or from its neighbours.

        At least as much as fewer rows take, at most as much for each of them or what more rows
        take. ``None`` if nothing smaller has been measured.
        """
        mean = self._means.get(rows)
        if mean is not None and self._step - mean.step <= _STALE:
            most = mean.value * self._level
            return Range(most / _OUTLIER, most)
        at = bisect_left(self._rows, rows)
        below = next((n for n in reversed(self._rows[:at]) if self.measured(n) is not None), None)
        if below is None:
            return None
        least = self._means[below].value * self._level
        more = (self.measured(n) for n in self._rows[at:])
        above = next((seconds for seconds in more if seconds is not None), float("inf"))
        return Range(least, min(least * rows / below, above))
