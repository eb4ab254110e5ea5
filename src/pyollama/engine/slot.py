"""One KV sequence, as the engine's books have it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from pyollama.engine.prefix import token_array
from pyollama.types import Adapters


@dataclass(slots=True)
class Slot:
    """``tokens`` are the tokens in the KV cache, by position.

    Only the first ``sound`` of them are what a fresh prompt would compute: behind a context shift
    the cached values still carry what was dropped, so they must not serve another request. A slot
    is ``busy`` while a request runs in it. ``checkpoint``: a copy that was made to be copied again.
    ``adapters`` are those it was computed with.
    """

    index: int
    tokens: array[int] = field(default_factory=token_array)
    sound: int = 0
    busy: bool = False
    checkpoint: bool = False
    last_used: int = 0
    adapters: Adapters | None = None
