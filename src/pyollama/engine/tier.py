"""What the engine needs from a place outside the cells where prefixes are kept."""

from __future__ import annotations

from array import array
from typing import Protocol


class Tier(Protocol):
    """Belongs to the engine thread."""

    def match(self, tokens: array[int], limit: int) -> int:
        """How many of the first ``limit`` tokens are held."""
        ...

    def keep(self, sequence: int, tokens: array[int]) -> None:
        """The KV sequence holds ``tokens`` and is about to go; never raises."""
        ...

    def prepare(self, sequence: int, tokens: array[int]) -> bool:
        """There is nothing else to do: keep a part of what a retired KV sequence holds.

        False if there is nothing more to be done about it.
        """
        ...

    def fetch(self, sequence: int, tokens: array[int], start: int) -> int:
        """The KV sequence holds ``start`` of ``tokens`` and is to hold the rest as well.

        Returns how many it holds then: fewer than all where something was gone or damaged.
        """
        ...

    def hurry(self) -> None:
        """The engine is closing: what is kept from now on may take time, but not for ever."""
        ...

    def close(self) -> None:
        """The engine closes; everything that is worth it has been handed over."""
        ...
