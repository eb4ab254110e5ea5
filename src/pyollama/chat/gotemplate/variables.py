"""The variables of a run, which shadow one another by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence


class Variables:
    """A stack; the one declared last under a name is the one that counts."""

    def __init__(self, root: object) -> None:
        self._names: list[str] = []
        self._values: list[object] = []
        self._places: dict[str, list[int]] = defaultdict(list)
        self.declare("$", root)

    @property
    def mark(self) -> int:
        """How many there are, for :meth:`forget`."""
        return len(self._names)

    def declare(self, name: str, value: object) -> None:
        self._places[name].append(len(self._names))
        self._names.append(name)
        self._values.append(value)

    def forget(self, mark: int) -> None:
        """Drop those that were declared since."""
        while len(self._names) > mark:
            self._places[self._names.pop()].pop()
            self._values.pop()

    def get(self, name: str) -> object:
        """The value; ``LookupError`` if nothing has this name."""
        return self._values[self._places[name][-1]]

    def assign(self, name: str, value: object) -> None:
        self._values[self._places[name][-1]] = value

    def assign_last(self, values: Sequence[object]) -> None:
        """Give the variables declared last new values."""
        self._values[-len(values) :] = values
