"""What the next step computes: continuous batching as pure policy.

Every step runs one batch of rows: one row for each sequence that streams, and prompts in chunks, in
the order of arrival, within an explicit budget. Where mixed batches are slow, steps for streams and
steps for prompts take turns. A request is admitted as soon as a slot is idle, first come first
served.

Sequences share prefixes, also while they run. A request whose prompt begins like one that is being
computed right now waits for that one (its leader) and then copies, so that a prefix is computed
once, however many ask for it at the same time. A leader was always admitted earlier, so waits
cannot form a circle; when it ends early, those that wait look for another one or start themselves.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

from pyollama.engine.pace import Demand, Share
from pyollama.engine.prefix import common_prefix
from pyollama.engine.sequence import Sequence
from pyollama.engine.slots import Placement, Slot, Slots

MIN_SHARED = 32
"""Tokens that must be saved before a request waits for another one to compute them."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """``count`` tokens of a sequence from position ``start`` on; ``samples``: one follows."""

    sequence: Sequence
    start: int
    count: int
    samples: bool


@dataclass(frozen=True, slots=True)
class Shift:
    """The context was full: of ``length`` tokens, ``discard`` behind ``keep`` are dropped."""

    sequence: Sequence
    slot: Slot
    keep: int
    discard: int
    length: int


Edit = Placement | Shift


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: first the edits of KV sequences, in order, then the batch."""

    admitted: list[Sequence]
    edits: list[Edit]
    chunks: list[Chunk]


class Scheduler:
    """Decides; whoever runs the plan reports back with :meth:`computed` and :meth:`finish`.

    ``mix`` lets rows of streams and of prompts share a batch.
    """

    def __init__(self, slots: Slots, *, can_shift: bool, mix: bool) -> None:
        self._slots = slots
        self._mix = mix
        self._prompts_turn = False
        self._can_shift = can_shift
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []  # in the order of admission

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> list[Sequence]:
        return list(self._running)

    @property
    def idle(self) -> bool:
        return not self._running and not self._waiting

    @property
    def demand(self) -> Demand:
        """What the next step is going to be asked for."""
        active = [*self._running, *itertools.islice(self._waiting, self._slots.idle)]
        prompts = [sequence for sequence in active if not sequence.generated]
        fresh = sum(sequence.generated == 1 for sequence in active)
        tokens = sum(sequence.pending for sequence in prompts if sequence.leader is None)
        return Demand(len(active) - len(prompts) - fresh, fresh, len(prompts), tokens)

    def add(self, sequence: Sequence) -> None:
        self._waiting.append(sequence)

    def plan(self, rows: int, share: Share) -> Plan:
        """The next step, of at most ``rows`` rows; ``share`` is what prompts get of it.

        ``rows`` has to be larger than the number of slots, or prompts might never get a row.
        """
        edits: list[Edit] = self._shift_full()
        admitted = self._admit(edits)
        self._follow(edits)
        return Plan(admitted, edits, self._chunks(rows, share))

    def computed(self, chunk: Chunk) -> None:
        """The tokens of ``chunk`` are in the KV cache now."""
        sequence = chunk.sequence
        if sequence.slot is not None:
            tokens = sequence.tokens[chunk.start : chunk.start + chunk.count]
            self._slots.extend(sequence.slot, tokens)

    def at_limit(self, sequence: Sequence) -> bool:
        """Whether the context of ``sequence`` is full and cannot be shifted."""
        return sequence.full and not (self._can_shift and sequence.request.shift)

    def finish(self, sequence: Sequence) -> None:
        """``sequence`` is over, whatever the reason; a running one leaves its prefix behind."""
        if sequence.slot is None:
            self._waiting.remove(sequence)
            return
        self._running.remove(sequence)
        self._slots.retire(sequence.slot)
        sequence.slot = None

    def _shift_full(self) -> list[Edit]:
        edits: list[Edit] = []
        for sequence in self._running:
            slot = sequence.slot
            if slot is None or not sequence.decoding or not sequence.full:
                continue
            keep, discard = sequence.shift_range()
            edits.append(Shift(sequence, slot, keep, discard, len(slot.tokens)))
            sequence.shift(keep, discard)
            self._slots.shift(slot, keep, discard)
        return edits

    def _admit(self, edits: list[Edit]) -> list[Sequence]:
        admitted = []
        while self._waiting:
            sequence = self._waiting[0]
            placement = self._slots.place(sequence.tokens, sequence.reusable)
            if placement is None:
                break
            self._waiting.popleft()
            sequence.slot = placement.slot
            sequence.cached = placement.reused
            edits.append(placement)
            self._choose_leader(sequence, self._running)
            self._running.append(sequence)
            admitted.append(sequence)
        return admitted

    def _follow(self, edits: list[Edit]) -> None:
        """Let those go on whose leader is far enough, or gone."""
        for index, sequence in enumerate(self._running):
            leader, slot = sequence.leader, sequence.slot
            if leader is None or slot is None:
                continue
            if leader.slot is not None and leader.computed < sequence.awaits:
                continue
            shared = self._slots.share(slot, sequence.tokens, sequence.reusable)
            if shared is not None:
                sequence.cached = shared.reused
                edits.append(shared)
            self._choose_leader(sequence, self._running[:index])

    def _choose_leader(self, sequence: Sequence, earlier: list[Sequence]) -> None:
        """The earlier sequence that is going to compute the most of this one's prompt."""
        sequence.leader, sequence.awaits = None, sequence.computed + MIN_SHARED - 1
        if not self._slots.can_trim:
            return
        for other in earlier:
            if other.generated > 0:
                continue
            length = common_prefix(other.tokens, sequence.tokens, sequence.reusable)
            if length > sequence.awaits and length > other.computed:
                sequence.leader, sequence.awaits = other, length

    def _chunks(self, rows: int, share: Share) -> list[Chunk]:
        streams = self._stream_chunks(rows)
        prompts = self._prompt_chunks(min(share.tokens, rows - len(streams)))
        if self._mix or not streams or not prompts:
            return streams + prompts
        self._prompts_turn = share.first or not self._prompts_turn
        return prompts if self._prompts_turn else streams

    def _stream_chunks(self, rows: int) -> list[Chunk]:
        streams = [sequence for sequence in self._running if sequence.decoding]
        return [Chunk(each, each.computed, 1, samples=True) for each in streams[:rows]]

    def _prompt_chunks(self, budget: int) -> list[Chunk]:
        chunks = []
        for sequence in self._running:
            count = min(sequence.pending, budget)
            if sequence.decoding or sequence.leader is not None or count <= 0:
                continue
            samples = sequence.samples and count == sequence.pending
            chunks.append(Chunk(sequence, sequence.computed, count, samples))
            budget -= count
        return chunks
