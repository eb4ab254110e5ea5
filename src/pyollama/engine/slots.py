"""What each KV sequence holds, which of it a new prompt can use, and what goes when room is needed.

A slot is one KV sequence. There are more of them than requests may run: a slot is busy while a
request runs in it, and afterwards it keeps its tokens as a retired prefix until the slot or its
cells are needed. This is only the book-keeping. What has to be done to the KV cache gathers in a
list of edits, which the caller takes and carries out in order.

What gives way is chosen by age weighted with the cost of computing it again: the least tokens per
use that went by, where only tokens count that no other sequence stands in for.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from pyollama.engine.cells import Cells
from pyollama.engine.edits import (
    Edit,
    Eviction,
    Fetch,
    Park,
    Parked,
    Placement,
    Restore,
    Shift,
)
from pyollama.engine.forest import Forest
from pyollama.engine.prefix import token_array
from pyollama.engine.slot import Slot
from pyollama.types import Adapters

RETAINED = 4096
"""Cells that retired prefixes keep beside running requests where a tier takes in the others.

Attention looks at the mask of each of them: with 8,192 more a step takes 1.07 times as long for one
stream of Qwen2.5-0.5B Q4_0 and 1.16 times for eight (two threads)."""


class Slots:
    """The slots of one engine, of which at most ``running`` are busy.

    ``cells`` is the size of the KV cache, and beside requests that run retired prefixes may keep
    ``retained`` of them (by default all that nobody needs). ``can_trim`` says whether the memory
    can drop the tail of a sequence; one that cannot (recurrent state, for example) only lets a
    prompt go on where a retired sequence or a checkpoint ended.
    """

    def __init__(
        self,
        count: int,
        *,
        cells: int,
        running: int | None = None,
        retained: int | None = None,
        can_trim: bool = True,
    ) -> None:
        self._slots = [Slot(index) for index in range(count)]
        self._running = count if running is None else running
        self._retained = cells if retained is None else retained
        self._tree: Forest[int] = Forest()
        self._edits: list[Edit] = []
        self._busy = 0
        self._clock = 0
        self.cells = Cells(cells)
        self.can_trim = can_trim
        self.evictions = 0

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def idle(self) -> int:
        """How many more requests may run."""
        return self._running - self._busy

    @property
    def can_share(self) -> bool:
        """Whether one request can go on from what another one is computing."""
        return self.can_trim or len(self._slots) > self._running

    @property
    def retired(self) -> list[Slot]:
        """The retired prefixes, the one that is worth most first."""
        slots = [slot for slot in self._slots if not slot.busy and slot.tokens]
        return sorted(slots, key=self._worth, reverse=True)

    def take_edits(self) -> list[Edit]:
        """What has to be done since the last call."""
        edits, self._edits = self._edits, []
        return edits

    # --- finding ----------------------------------------------------------------------------------

    def match(
        self, prompt: array[int], limit: int, adapters: Adapters | None = None
    ) -> tuple[Slot | None, int]:
        """The slot with the longest usable prefix of ``prompt[:limit]``, and its length (0: none).

        Among equals an idle one that holds nothing else comes first: it can be used as it is.
        """
        self._catch_up()
        if not self.can_trim:
            return self._match_whole(prompt, limit, adapters)
        length, keys = self._tree.longest(prompt, limit, adapters)
        best = max(
            (self._slots[key] for key in keys),
            key=lambda slot: (not slot.busy and length == len(slot.tokens), slot.last_used),
            default=None,
        )
        return best, length

    def divergence(
        self, prompt: array[int], adapters: Adapters | None = None
    ) -> tuple[int, int | None]:
        """How much of ``prompt`` any slot holds, and the token that one holds next instead."""
        self._catch_up()
        return self._tree.divergence(prompt, adapters)

    def _match_whole(
        self, prompt: array[int], limit: int, adapters: Adapters | None
    ) -> tuple[Slot | None, int]:
        for length, key in reversed(self._tree.wholes(prompt, limit, adapters)):
            slot = self._slots[key]
            if length and not slot.busy:
                return slot, length
        return None, 0

    def _catch_up(self) -> None:
        """The tree learns of what busy slots have computed when it is asked, not at each token."""
        for slot in self._slots:
            if slot.busy and (known := self._tree.length(slot.index)) < slot.sound:
                self._enter(slot, known)

    def _enter(self, slot: Slot, known: int) -> None:
        if slot.index in self._tree:
            self._tree.extend(slot.index, slot.tokens[known : slot.sound])
        else:
            self._tree.insert(slot.index, slot.tokens[: slot.sound], slot.adapters)

    # --- running requests -------------------------------------------------------------------------

    def place(
        self, prompt: array[int], limit: int, adapters: Adapters | None = None
    ) -> Placement | None:
        """Give ``prompt`` a slot and mark it busy; ``None`` if as many as may be are.

        At most ``limit`` tokens are reused. A retired sequence that the prompt goes on from is used
        in place. Otherwise the prefix is copied, so that no other retired prefix is cut short.
        """
        if not self.idle:
            return None
        source, length = self.match(prompt, limit, adapters)
        target = self._target(source, length)
        target.adapters = adapters
        self._occupy(target)
        return self._refill(target, source, length)

    def share(self, slot: Slot, prompt: array[int], limit: int) -> Placement | None:
        """Let a busy slot start over from a longer prefix that another slot holds by now.

        ``None`` if ``slot`` itself holds the longest.
        """
        source, length = self.match(prompt, limit, slot.adapters)
        if source is None or length <= len(slot.tokens):
            return None
        return self._refill(slot, source, length)

    def extend(self, slot: Slot, tokens: array[int]) -> None:
        """``tokens`` have been computed behind what the slot holds."""
        if slot.sound == len(slot.tokens):
            slot.sound += len(tokens)
        slot.tokens.extend(tokens)
        self.cells.extend(slot.index, len(tokens))

    def rewind(self, slot: Slot, length: int) -> None:
        """Positions from ``length`` on are dropped, and computed again or never."""
        held = len(slot.tokens)
        if length < held:
            self._cut(slot, length)
            self._edits.append(Placement(slot, held, length))

    def lose(self, slot: Slot, length: int) -> None:
        """Only the first ``length`` positions turned out to be there."""
        self._cut(slot, length)

    def shift(self, slot: Slot, owner: str, keep: int, discard: int) -> bool:
        """Drop ``discard`` tokens behind the first ``keep`` and move the rest up.

        Cells that others own too cannot move, so the sequence gets its own before; false if there
        is no room for that.
        """
        cells = self.cells
        if cells.shared(slot.index) > keep + discard and not self.room(cells.shared(slot.index)):
            return False
        if cells.shared(slot.index) > keep + discard:
            cells.separate(slot.index)
        length = len(slot.tokens)
        self._edits.append(Shift(owner, slot, keep, discard, length))
        cells.trim(slot.index, keep)
        cells.extend(slot.index, length - keep - discard)
        del slot.tokens[keep : keep + discard]
        slot.sound = min(slot.sound, keep)
        if slot.index in self._tree:
            self._tree.truncate(slot.index, slot.sound)
        return True

    def checkpoint(self, slot: Slot) -> None:
        """Keep what a busy slot holds as a prefix, where memory cannot be cut back to it.

        Not where one is there already, or where no other slot is left for it.
        """
        self._catch_up()
        length = len(slot.tokens)
        if any(size == length for size, key in self._ends(slot) if key != slot.index):
            return
        target = self._spare()
        if target is not None:
            target.adapters = slot.adapters
            self._refill(target, slot, length)
            target.checkpoint = True

    def park(self, slot: Slot, *, keep: bool) -> Parked | None:
        """The request in ``slot`` gives way; ``keep`` its state, to go on from later."""
        parked = Parked(slot.tokens[:], slot.sound) if keep else None
        self._edits.append(Park(slot, parked))
        self._leave(slot)
        self.forget(slot)
        return parked

    def retire(self, slot: Slot) -> None:
        """The request in ``slot`` is over; its tokens stay as a prefix for others."""
        self._leave(slot)
        self._touch(slot)
        self.rewind(slot, slot.sound if self.can_trim or slot.sound == len(slot.tokens) else 0)
        if not slot.tokens:
            self.forget(slot)
            return
        self._enter(slot, self._tree.length(slot.index))
        if any(not self._slots[key].busy for key in self._standing_in(slot)):
            self._edits.append(Placement(slot, len(slot.tokens), 0))
            self.forget(slot)

    def forget(self, slot: Slot) -> None:
        """The KV sequence of ``slot`` is empty, or is about to be."""
        slot.tokens = token_array()
        slot.sound = 0
        slot.checkpoint = False
        self.cells.trim(slot.index, 0)
        if slot.index in self._tree:
            self._tree.remove(slot.index)

    # --- prefixes from outside --------------------------------------------------------------------

    def resume(self, parked: Parked, adapters: Adapters | None = None) -> Slot | None:
        """A slot, busy from now on, for what was parked; ``None`` if that is not possible."""
        if not self.idle or not self.room(len(parked.tokens)):
            return None
        target = self._target(None, 0)
        target.adapters = adapters
        self._occupy(target)
        self._fill(target, parked.tokens, parked.sound)
        self._edits.append(Restore(target, parked))
        return target

    def fetch(self, slot: Slot, prompt: array[int], length: int) -> bool:
        """Let a busy slot have ``prompt[:length]`` from a tier; false if there is no room."""
        start = len(slot.tokens)
        if not self.room(length - start):
            return False
        self.extend(slot, prompt[start:length])
        self._edits.append(Fetch(slot, prompt[:length], start))
        return True

    def adopt(self, tokens: array[int]) -> Slot | None:
        """A retired slot for a prefix that the caller is going to restore into it.

        ``None`` if there is no slot or there are no cells for it.
        """
        target = self._spare()
        if target is None or not self.room(len(tokens)):
            return None
        target.adapters = None
        self._fill(target, tokens, len(tokens))
        return target

    def _fill(self, slot: Slot, tokens: array[int], sound: int) -> None:
        slot.tokens = tokens[:]
        slot.sound = sound
        self.cells.extend(slot.index, len(tokens))
        self._enter(slot, 0)
        self._touch(slot)

    # --- giving way -------------------------------------------------------------------------------

    def room(self, count: int) -> bool:
        """Have ``count`` cells free, by giving up retired prefixes where they are not."""
        while self.cells.free < count:
            if self.evict() is None:
                return False
        return True

    def keep_bound(self) -> None:
        """Give up a retired prefix if they keep more than their bound.

        Only one, because it takes time to hand it over to a tier, and streams wait for that.
        """
        if self.cells.used <= self._retained:
            return
        if self.cells.used - self.owned_by_busy(None, 0) > self._retained:
            self.evict()

    def owned_by_busy(self, source: Slot | None, length: int) -> int:
        """Cells that no eviction frees, once a request has begun with ``length`` of ``source``."""
        parts = [(slot.index, len(slot.tokens)) for slot in self._slots if slot.busy]
        if source is not None and not source.busy:
            parts.append((source.index, length))
        return self.cells.owned(parts)

    def evict(self, sparing: Slot | None = None) -> Slot | None:
        """Give up the retired prefix that is worth least; ``None`` if nothing is retired."""
        retired = [slot for slot in self.retired if slot is not sparing]
        if not retired:
            return None
        slot = retired[-1]
        self.evictions += 1
        self._edits.append(Eviction(slot, slot.tokens, slot.adapters))
        self.forget(slot)
        return slot

    def _worth(self, slot: Slot) -> tuple[float, int]:
        """Tokens that would have to be computed again, per use of any slot since its own."""
        tree = self._tree
        cost = tree.alone(slot.index) if self.can_trim else tree.behind_others(slot.index)
        return cost / (self._clock - slot.last_used + 1), slot.last_used

    def _standing_in(self, slot: Slot) -> list[int]:
        """Other keys from which a prompt could go on just as well."""
        if self.can_trim:
            length, keys = self._tree.longest(slot.tokens, len(slot.tokens), slot.adapters)
            return [key for key in keys if key != slot.index]
        length = len(slot.tokens)
        return [key for size, key in self._ends(slot) if size == length and key != slot.index]

    def _ends(self, slot: Slot) -> list[tuple[int, int]]:
        return self._tree.wholes(slot.tokens, len(slot.tokens), slot.adapters)

    # --- slots ------------------------------------------------------------------------------------

    def _target(self, source: Slot | None, length: int) -> Slot:
        """Where to begin with ``length`` tokens of ``source``; there is an idle slot."""
        goes_on = source is not None and not source.busy and length == len(source.tokens)
        if source is not None and goes_on and not source.checkpoint:
            return source
        target = self._spare(source)
        if target is not None:
            return target
        assert source is not None  # the only slot that is not busy
        return source

    def _spare(self, sparing: Slot | None = None) -> Slot | None:
        """A slot that holds nothing, if need be no longer; never ``sparing``."""
        empty = (slot for slot in self._slots if not slot.busy and not slot.tokens)
        return next(empty, None) or self.evict(sparing)

    def _refill(self, target: Slot, source: Slot | None, length: int) -> Placement:
        held = len(target.tokens)
        placement = Placement(target, held, length, None if source is target else source)
        if source is target:
            self._cut(target, length)
        else:
            self.forget(target)
            if source is not None and length:
                target.tokens = source.tokens[:length]
                target.sound = length
                self.cells.share(source.index, target.index, length)
                self._enter(target, 0)
        target.checkpoint = False
        for slot in (target, source):
            if slot is not None:
                self._touch(slot)
        if held > length or placement.source is not None:
            self._edits.append(placement)
        return placement

    def _cut(self, slot: Slot, length: int) -> None:
        del slot.tokens[length:]
        slot.sound = min(slot.sound, length)
        self.cells.trim(slot.index, length)
        if slot.index in self._tree:
            self._tree.truncate(slot.index, slot.sound)

    def _occupy(self, slot: Slot) -> None:
        slot.busy = True
        self._busy += 1

    def _leave(self, slot: Slot) -> None:
        slot.busy = False
        self._busy -= 1

    def _touch(self, slot: Slot) -> None:
        self._clock += 1
        slot.last_used = self._clock
