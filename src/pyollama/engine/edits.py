"""What has to be done to KV sequences before a batch, in the order in which it was decided."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from pyollama.engine.slot import Slot
from pyollama.types import Adapters


@dataclass(frozen=True, slots=True)
class Placement:
    """The KV sequence of ``slot`` is to hold a prefix.

    It held ``held`` tokens. Without a ``source`` its first ``reused`` stay and the rest goes; with
    one, all of it goes and ``reused`` tokens are copied from the source.
    """

    slot: Slot
    held: int
    reused: int
    source: Slot | None = None


@dataclass(frozen=True, slots=True)
class Eviction:
    """A retired prefix gives way. Its ``tokens`` are still in the KV sequence."""

    slot: Slot
    tokens: array[int]
    adapters: Adapters | None = None


@dataclass(frozen=True, slots=True)
class Shift:
    """The context was full: of ``length`` tokens, ``discard`` behind ``keep`` are dropped."""

    owner: str
    slot: Slot
    keep: int
    discard: int
    length: int


@dataclass(slots=True)
class Parked:
    """The state of a request that gave way: ``tokens``, of which ``sound`` are sound.

    ``state`` is there once the edit has been carried out, and stays empty if it cannot be kept.
    """

    tokens: array[int]
    sound: int
    state: bytes = b""


@dataclass(frozen=True, slots=True)
class Park:
    """A running request gives way; its state is to be kept in ``into``, if that is wanted."""

    slot: Slot
    into: Parked | None


@dataclass(frozen=True, slots=True)
class Restore:
    """The empty KV sequence of ``slot`` is to hold again what was parked."""

    slot: Slot
    parked: Parked


@dataclass(frozen=True, slots=True)
class Fetch:
    """The KV sequence of ``slot``, which holds ``start`` of ``tokens``, is to hold all of them.

    The rest lies in a tier.
    """

    slot: Slot
    tokens: array[int]
    start: int


Edit = Placement | Eviction | Shift | Park | Restore | Fetch
