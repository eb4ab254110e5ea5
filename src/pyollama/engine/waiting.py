"""Who is admitted next: priorities that age, fairness between keys, then the order of arrival.

Pure policy without a clock: age is counted in requests that came later and were admitted before.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from pyollama.engine.sequence import Sequence
from pyollama.types import Priority

RANKS: dict[Priority, int] = {"interactive": 0, "normal": 1, "batch": 2}

PATIENCE = 16
"""So many may overtake the first of a line before it moves up by one priority."""


@dataclass(slots=True)
class _Line:
    """The requests of one key with one priority; ``overtaken`` is said of the first."""

    rank: int
    key: str
    requests: deque[Sequence] = field(default_factory=deque)
    overtaken: int = 0


class Waiting:
    """The requests that wait, and how much has been computed for each key.

    Those of one key and priority stand in line. Of the first ones goes next: the one with the best
    priority, where each :data:`PATIENCE` requests that came later and went first count as one
    priority more; of those the one that has run before and had to give way; of those the one of
    the key for which least was computed; of those the earliest. A first one that was overtaken
    until its rank is below every other's goes whatever its key, so nobody waits for ever.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[Priority, str], _Line] = {}
        self._active: Counter[str] = Counter()
        self._service: dict[str, int] = {}
        self._arrivals = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Sequence]:
        return chain.from_iterable(line.requests for line in self._lines.values())

    def add(self, sequence: Sequence) -> None:
        """A new request. A key that was away begins level with the one that is worst off."""
        key = sequence.request.key
        if not self._active[key]:
            least = min((self._service[other] for other in self._active if other != key), default=0)
            self._service[key] = max(self._service.get(key, 0), least)
        self._active[key] += 1
        self._arrivals += 1
        sequence.arrival = self._arrivals
        self._line(sequence).requests.append(sequence)
        self._length += 1

    def put_back(self, sequence: Sequence) -> None:
        """A request that was admitted has to wait again, as the first of its line."""
        self._line(sequence).requests.appendleft(sequence)
        self._length += 1

    def first(self) -> Sequence | None:
        """The one to be admitted next."""
        line = min(self._lines.values(), key=self._place, default=None)
        return None if line is None else line.requests[0]

    def take(self, sequence: Sequence) -> None:
        """``sequence`` is admitted."""
        self._line(sequence).overtaken = 0
        self.drop(sequence)
        for line in self._lines.values():
            line.overtaken += line.requests[0].arrival < sequence.arrival

    def drop(self, sequence: Sequence) -> None:
        """``sequence`` does not wait any more."""
        line = self._line(sequence)
        line.requests.remove(sequence)
        self._length -= 1
        if not line.requests:
            del self._lines[sequence.request.priority, line.key]

    def served(self, sequence: Sequence, tokens: int) -> None:
        """So many tokens were computed for ``sequence``."""
        self._service[sequence.request.key] += tokens

    def leave(self, sequence: Sequence) -> None:
        """``sequence`` is over. What a key that is gone had is forgotten once it says nothing."""
        key = sequence.request.key
        self._active[key] -= 1
        if self._active[key]:
            return
        del self._active[key]
        least = min((self._service[other] for other in self._active), default=None)
        for other in self._service.keys() - self._active.keys():
            if least is None or self._service[other] <= least:
                del self._service[other]

    def _line(self, sequence: Sequence) -> _Line:
        request = sequence.request
        place = (request.priority, request.key)
        if place not in self._lines:
            self._lines[place] = _Line(RANKS[request.priority], request.key)
        return self._lines[place]

    def _place(self, line: _Line) -> tuple[int, bool, int, int]:
        rank = max(line.rank - line.overtaken // PATIENCE, -1)
        service = 0 if rank < 0 else self._service[line.key]
        first = line.requests[0]
        return (rank, not first.started, service, first.arrival)
