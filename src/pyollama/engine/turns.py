"""Which set of adapters the next step is computed with."""

from __future__ import annotations

from collections.abc import Sequence

from pyollama.types import Adapters

STEPS = 4
"""Steps in a row with the same adapters while others wait.

Changing them costs about 6 ms (24 layers, one thread), because llama.cpp plans its memory again.
"""


class Turns:
    """Sets of adapters that have something to compute take turns of :data:`STEPS` steps.

    ``turn`` is the one whose turn it is.
    """

    def __init__(self) -> None:
        self.turn: Adapters | None = None
        self._left = STEPS
        self._order: list[Adapters | None] = []  # the one whose turn is farthest away comes last

    def choose(self, ready: Sequence[Adapters | None]) -> None:
        """Before each step: ``ready`` has an entry for each sequence that can be computed."""
        self._left -= 1
        kinds = dict.fromkeys(ready)
        if not kinds or (self.turn in kinds and (len(kinds) == 1 or self._left > 0)):
            return
        waiting = [each for each in self._order if each in kinds]
        waiting += [each for each in kinds if each not in waiting]
        others = [each for each in waiting if each != self.turn]
        last = [self.turn] if self.turn in kinds else []
        self.turn = others[0]
        self._order = [*others[1:], *last, self.turn]
        self._left = STEPS
