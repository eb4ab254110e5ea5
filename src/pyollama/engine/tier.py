"""What the engine needs from a place outside the cells where prefixes are kept."""

from __future__ import annotations

from array import array
from typing import Protocol

from pyollama.types import Adapters


class Tier(Protocol):
    """Belongs to the engine thread. What other ``adapters`` computed are other prefixes."""

    def match(self, tokens: array[int], limit: int, adapters: Adapters | None) -> int:
        """How many of the first ``limit`` tokens are held."""
        ...

    def keep(self, sequence: int, tokens: array[int], adapters: Adapters | None) -> None:
        """The KV sequence holds ``tokens`` and is about to go; never raises."""
        ...

    def prepare(self, sequence: int, tokens: array[int], adapters: Adapters | None) -> bool:
        """There is nothing else to do: keep a part of what a retired KV sequence holds.

        False if there is nothing more to be done about it.
        """
        ...

    def fetch(
        self, sequence: int, tokens: array[int], start: int, adapters: Adapters | None
    ) -> int:
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
