"""What each KV sequence holds, and which of it a new prompt can use.

A slot is one KV sequence. It is busy while a request runs in it; afterwards it keeps its tokens as
a retired prefix until the slot or its cells are needed. This is only the book-keeping: the caller
carries out on the KV cache what is decided here.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from pyollama.engine.prefix import common_prefix, token_array


@dataclass(slots=True)
class Slot:
    """``tokens`` are the tokens in the KV cache, by position.

    Only the first ``sound`` of them are what a fresh prompt would compute: behind a context shift
    the cached values still carry what was dropped, so they must not serve another request.
    """

    index: int
    tokens: array[int] = field(default_factory=token_array)
    sound: int = 0
    busy: bool = False
    last_used: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """What has to be done to the KV sequence of ``slot`` so that it holds a prefix.

    It held ``held`` tokens. Without a ``source`` its first ``reused`` stay and the rest goes; with
    one, all of it goes and ``reused`` tokens are copied from the source.
    """

    slot: Slot
    held: int
    reused: int
    source: Slot | None = None


class Slots:
    """The slots of one engine.

    ``can_trim`` says whether the memory can drop the tail of a sequence. One that cannot (recurrent
    state, for example) only lets a prompt go on where a retired sequence ended.
    """

    def __init__(self, count: int, *, can_trim: bool = True) -> None:
        self._slots = [Slot(index) for index in range(count)]
        self.can_trim = can_trim
        self._clock = 0

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def idle(self) -> int:
        return sum(not slot.busy for slot in self._slots)

    @property
    def cells_used(self) -> int:
        """Tokens held. A shared prefix counts for every sequence that holds it."""
        return sum(len(slot.tokens) for slot in self._slots)

    def match(self, prompt: array[int], limit: int) -> tuple[Slot | None, int]:
        """The slot with the longest usable prefix of ``prompt``, and its length (0: none).

        Among equals an idle one that holds nothing else comes first: it can be used as it is.
        """
        best: Slot | None = None
        best_key = (0, False)
        for slot in self._slots:
            length = self._usable(slot, prompt, limit)
            key = (length, not slot.busy and length == len(slot.tokens))
            if length and key > best_key:
                best, best_key = slot, key
        return best, best_key[0]

    def place(self, prompt: array[int], limit: int) -> Placement | None:
        """Choose an idle slot for ``prompt`` and mark it busy; ``None`` if there is none.

        At most ``limit`` tokens are reused. A retired sequence that the prompt goes on from is used
        in place. Otherwise the slot that was idle longest gives way and the prefix is copied into
        it, so that no other retired prefix is cut short.
        """
        idle = [slot for slot in self._slots if not slot.busy]
        if not idle:
            return None
        source, length = self.match(prompt, limit)
        target = min(idle, key=lambda slot: (bool(slot.tokens), slot.last_used))
        if source is not None and not source.busy and length == len(source.tokens):
            target = source
        target.busy = True
        return self._refill(target, source, length)

    def share(self, slot: Slot, prompt: array[int], limit: int) -> Placement | None:
        """Let a busy slot start over from a longer prefix that another slot holds by now.

        ``None`` if ``slot`` itself holds the longest.
        """
        source, length = self.match(prompt, limit)
        if source is None or length <= len(slot.tokens):
            return None
        return self._refill(slot, source, length)

    def extend(self, slot: Slot, tokens: array[int]) -> None:
        """``tokens`` have been computed behind what the slot holds."""
        if slot.sound == len(slot.tokens):
            slot.sound += len(tokens)
        slot.tokens.extend(tokens)

    def shift(self, slot: Slot, keep: int, discard: int) -> None:
        """``discard`` tokens behind the first ``keep`` have been dropped, the rest moved up."""
        del slot.tokens[keep : keep + discard]
        slot.sound = min(slot.sound, keep)

    def retire(self, slot: Slot) -> None:
        """The request in ``slot`` is over; its tokens stay as a prefix for others."""
        slot.busy = False
        self._touch(slot)

    def empty(self, slot: Slot) -> None:
        """The KV sequence of ``slot`` has been cleared."""
        slot.tokens = token_array()
        slot.sound = 0

    def evict(self) -> Slot | None:
        """Empty the retired slot that was idle longest; ``None`` if nothing is retired."""
        retired = [slot for slot in self._slots if not slot.busy and slot.tokens]
        if not retired:
            return None
        slot = min(retired, key=lambda slot: slot.last_used)
        self.empty(slot)
        return slot

    def adopt(self, tokens: array[int]) -> Slot | None:
        """Give a prefix that was restored from outside the slot that was idle longest."""
        idle = [slot for slot in self._slots if not slot.busy]
        if not idle:
            return None
        slot = min(idle, key=lambda slot: (bool(slot.tokens), slot.last_used))
        slot.tokens = tokens
        slot.sound = len(tokens)
        self._touch(slot)
        return slot

    def _usable(self, slot: Slot, prompt: array[int], limit: int) -> int:
        if not self.can_trim and (slot.busy or slot.sound != len(slot.tokens)):
            return 0
        length = common_prefix(slot.tokens, prompt, min(slot.sound, limit))
        if not self.can_trim and length != len(slot.tokens):
            return 0
        return length

    def _refill(self, slot: Slot, source: Slot | None, length: int) -> Placement:
        held = len(slot.tokens)
        slot.tokens = source.tokens[:length] if source is not None else token_array()
        slot.sound = length
        self._touch(slot)
        return Placement(slot, held, length, None if source is slot else source)

    def _touch(self, slot: Slot) -> None:
        self._clock += 1
        slot.last_used = self._clock
