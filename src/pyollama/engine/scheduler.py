"""What the next step computes: continuous batching as pure policy.

Every step runs one batch of rows: one row for each sequence that streams, and prompts in chunks, by
priority and then in the order of admission, within an explicit budget. A request is admitted as
soon as a slot is idle and there are cells for its prompt; who is next, :class:`Waiting` says. When
cells run out although all retired prefixes are gone, the youngest request of the lowest priority
gives way: its state is kept outside, and it goes on when there is room again.

Sequences share prefixes, also while they run. A request whose prompt begins like one that is being
computed right now waits for that one (its leader) and then copies, so that a prefix is computed
once, however many ask for it at the same time. A leader was always admitted earlier, so waits
cannot form a circle; when it ends early, those that wait look for another one or start themselves.

Memory that cannot be cut back is copied at checkpoints: where a follower waits for it, where a
prompt leaves what others had, and one token before the end of every prompt.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence as Collection
from dataclasses import dataclass
from itertools import chain, islice

from pyollama.engine.edits import Edit, Placement
from pyollama.engine.pace import Demand
from pyollama.engine.prefix import common_prefix
from pyollama.engine.sequence import Sequence
from pyollama.engine.slot import Slot
from pyollama.engine.slots import Slots
from pyollama.engine.tier import Tier
from pyollama.engine.turns import Turns
from pyollama.engine.waiting import RANKS, Waiting

MIN_SHARED = 32
"""Tokens that must be saved before a request waits for another one to compute them, or a state is
kept and restored rather than computed again."""

SCORED_ROWS = 64
"""Rows of a prompt whose logits are wanted at a time: each takes the size of the vocabulary."""

RESERVE = 32
"""Cells that are left for the answer of each running request when another one is admitted."""

MOST_YIELDS = 4
"""So many times a batch request leaves its slot to an interactive one; then it keeps it."""


@dataclass(slots=True)
class Chunk:
    """``count`` tokens of a sequence from position ``start`` on, and ``drafts`` behind them.

    The logits of the last ``outputs`` rows of them are wanted. Not frozen only because that takes
    three times as long to make, and there is one for each stream in each step.
    """

    sequence: Sequence
    start: int
    count: int
    outputs: int
    drafts: array[int] | tuple[()] = ()

    @property
    def rows(self) -> int:
        return self.count + len(self.drafts)

    @property
    def samples(self) -> bool:
        """Whether a token is to be sampled behind it."""
        return self.sequence.samples and self.start + self.count == len(self.sequence.tokens)

    @property
    def scored(self) -> array[int] | tuple[()]:
        """The tokens of the prompt behind its first rows, if they are to be scored."""
        if not self.sequence.request.prompt_logprobs:
            return ()
        stop = min(self.start + self.count + 1, self.sequence.n_prompt)
        return self.sequence.tokens[self.start + 1 : stop]


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: first the edits of KV sequences, in order, then the batch.

    ``stuck`` are running requests for which there are not enough cells, even alone.
    """

    admitted: list[Sequence]
    edits: list[Edit]
    chunks: list[Chunk]
    stuck: list[Sequence]


class Scheduler:
    """Decides; whoever runs the plan reports back with :meth:`computed` and :meth:`finish`."""

    def __init__(self, slots: Slots, *, can_shift: bool, tier: Tier | None = None) -> None:
        self._slots = slots
        self._can_shift = can_shift
        self._tier = tier
        self._waiting = Waiting()
        self._running: list[Sequence] = []  # in the order of admission
        self._unsettled: set[Sequence] = set()  # edits of this plan are still to be made to these
        self._stuck: list[Sequence] = []
        self._adapters = Turns()
        self.preemptions = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> Collection[Sequence]:
        return self._running

    @property
    def idle(self) -> bool:
        return not self._running and not self._waiting

    @property
    def demand(self) -> Demand:
        """What the next step is going to be asked for."""
        streams = fresh = prompts = tokens = 0
        for sequence in chain(self._running, islice(self._waiting, self._slots.idle)):
            if not sequence.decoding:
                prompts += 1
                tokens += sequence.pending if sequence.leader is None else 0
            elif sequence.generated == 1:
                fresh += 1
            else:
                streams += 1
        return Demand(streams, fresh, prompts, tokens)

    def add(self, sequence: Sequence) -> None:
        self._waiting.add(sequence)

    def plan(self, rows: int, share: int) -> Plan:
        """The next step, of at most ``rows`` rows; ``share`` is how many prompts get of them.

        ``rows`` has to be larger than the number of requests that may run, or prompts might never
        get a row.
        """
        self._unsettled.clear()
        self._shift_full()
        admitted = self._admit()
        self._checkpoint()
        self._follow()
        chunks = self._chunks(rows, share)
        stuck, self._stuck = self._stuck, []
        return Plan(admitted, self._slots.take_edits(), chunks, stuck)

    def computed(self, chunk: Chunk) -> None:
        """The tokens of ``chunk`` are in the KV cache now."""
        sequence = chunk.sequence
        self._waiting.served(sequence, chunk.count)
        if sequence.slot is not None:
            tokens = sequence.tokens[chunk.start : chunk.start + chunk.count]
            self._slots.extend(sequence.slot, tokens)

    def accepted(self, sequence: Sequence, count: int) -> None:
        """The last ``count`` tokens but one were drafted, and so they are in the cache already."""
        if sequence.slot is not None and count:
            self._waiting.served(sequence, count)
            start = sequence.computed
            self._slots.extend(sequence.slot, sequence.tokens[start : start + count])

    def at_limit(self, sequence: Sequence) -> bool:
        """Whether the context of ``sequence`` is full and cannot be shifted."""
        return sequence.full and not (self._can_shift and sequence.request.shift)

    def finish(self, sequence: Sequence) -> None:
        """``sequence`` is over, whatever the reason; a running one leaves its prefix behind."""
        self._waiting.leave(sequence)
        if sequence.slot is None:
            self._waiting.drop(sequence)
            return
        self._running.remove(sequence)
        self._slots.retire(sequence.slot)
        sequence.slot = None

    def preempt(self, sparing: Sequence | None = None) -> bool:
        """Let the youngest request of the lowest priority give way; false if there is none but one.

        It goes on later as if nothing had been: from its state, or from its tokens alone.
        """
        others = [sequence for sequence in self._running if sequence is not sparing]
        if not others or len(self._running) < 2:
            return False
        settled = [sequence for sequence in others if sequence not in self._unsettled]
        self._park(max(enumerate(settled or others), key=lambda pair: (_rank(pair[1]), pair[0]))[1])
        return True

    # --- who runs ---------------------------------------------------------------------------------

    def _admit(self) -> list[Sequence]:
        admitted: list[Sequence] = []
        while (sequence := self._waiting.first()) is not None:
            if not self._slots.idle and not self._take_over(sequence):
                break
            if self._running and not self._has_room(sequence):
                break
            self._waiting.take(sequence)
            self._begin(sequence)
            admitted.append(sequence)
        return admitted

    def _take_over(self, sequence: Sequence) -> bool:
        """Let a batch request pause for an interactive one where all slots are busy."""
        if sequence.request.priority != "interactive":
            return False
        for other in reversed(self._running):
            batch = other.request.priority == "batch" and other not in self._unsettled
            if batch and other.yields < MOST_YIELDS:
                other.yields += 1
                self._park(other)
                return True
        return False

    def _has_room(self, sequence: Sequence) -> bool:
        """Whether the cells are enough for ``sequence`` beside what is running and promised."""
        source, length = None, 0
        if not self._goes_on(sequence):
            source, length = self._match(sequence)
        needed = self._slots.owned_by_busy(source, length)
        needed += len(sequence.tokens) - max(length, self._leader(sequence, self._running)[1])
        needed += min(sequence.wanted, RESERVE)
        for other in self._running:
            begun = other.computed if other.leader is None else max(other.awaits, other.computed)
            needed += len(other.tokens) - begun + min(other.wanted, RESERVE)
        return needed <= self._slots.cells.capacity

    def _match(self, sequence: Sequence) -> tuple[Slot | None, int]:
        return self._slots.match(sequence.tokens, sequence.reusable, sequence.adapters)

    def _goes_on(self, sequence: Sequence) -> bool:
        """Whether ``sequence`` had to give way and its own state is what to begin with."""
        parked = sequence.parked
        if parked is None or not parked.state:
            return False
        if parked.sound < len(parked.tokens):
            return True  # behind a context shift nothing else is the same
        _, length = self._match(sequence)
        return len(parked.tokens) >= length + MIN_SHARED

    def _begin(self, sequence: Sequence) -> None:
        slot = None
        if sequence.parked is not None and self._goes_on(sequence):
            slot = self._slots.resume(sequence.parked, sequence.adapters)
            sequence.origin = "its own state"
        sequence.parked = None
        sequence.slot = slot or self._place(sequence)
        if not sequence.started:
            sequence.started = True
            sequence.cached = sequence.computed
        self._mark(sequence)
        self._choose_leader(sequence, self._running)
        self._running.append(sequence)
        self._unsettled.add(sequence)

    def _place(self, sequence: Sequence) -> Slot:
        """A slot with the longest prefix that the cells or a tier hold."""
        placement = self._slots.place(sequence.tokens, sequence.reusable, sequence.adapters)
        assert placement is not None  # a slot is idle
        slot = placement.slot
        sequence.origin = _origin(placement)
        if self._tier is not None:
            length = self._tier.match(sequence.tokens, sequence.reusable, sequence.adapters)
            if length >= placement.reused + MIN_SHARED:
                if not self._slots.can_trim:
                    self._slots.rewind(slot, 0)
                if self._slots.fetch(slot, sequence.tokens, length):
                    sequence.origin = "a tier"
        return slot

    def _park(self, sequence: Sequence) -> None:
        slot = sequence.slot
        assert slot is not None  # it is running
        worth = self._slots.cells.alone(slot.index) >= MIN_SHARED or slot.sound < len(slot.tokens)
        sequence.parked = self._slots.park(slot, keep=worth)
        sequence.slot = sequence.leader = None
        self._running.remove(sequence)
        self._waiting.put_back(sequence)
        self.preemptions += 1
        for index, other in enumerate(self._running):
            if other.leader is sequence:
                self._choose_leader(other, self._running[:index])

    def _shift_full(self) -> None:
        for sequence in [each for each in self._running if each.full and each.decoding]:
            slot = sequence.slot
            if slot is None:
                continue  # it had to give way for another one
            keep, discard = sequence.shift_range()
            self._unsettled.add(sequence)
            while not (done := self._slots.shift(slot, sequence.id, keep, discard)):
                if not self.preempt(sparing=sequence):
                    self._stuck.append(sequence)
                    break
            if done:
                sequence.shift(keep, discard)

    # --- shared prefixes --------------------------------------------------------------------------

    def _follow(self) -> None:
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
                sequence.origin = _origin(shared)
            self._choose_leader(sequence, self._running[:index])

    def _choose_leader(self, sequence: Sequence, earlier: list[Sequence]) -> None:
        leader, length = self._leader(sequence, earlier)
        sequence.leader, sequence.awaits = leader, length
        if leader is not None and not self._slots.can_trim:
            leader.marks.add(length)

    def _leader(self, sequence: Sequence, earlier: list[Sequence]) -> tuple[Sequence | None, int]:
        """The earlier sequence that is going to compute the most of this one's prompt."""
        leader, awaits = None, sequence.computed + MIN_SHARED - 1
        for other in earlier if self._slots.can_share else ():
            if other.generated > 0 or other.adapters != sequence.adapters:
                continue
            length = common_prefix(other.tokens, sequence.tokens, sequence.reusable)
            if length > awaits and length > other.computed:
                leader, awaits = other, length
        return leader, awaits if leader is not None else 0

    def _mark(self, sequence: Sequence) -> None:
        """Where memory cannot be cut back, say where it is to be kept."""
        if self._slots.can_trim or sequence.generated > 0:
            return
        shared, _ = self._slots.divergence(sequence.tokens, sequence.adapters)
        sequence.marks = {sequence.reusable}
        if shared >= MIN_SHARED:
            sequence.marks.add(shared)

    def _checkpoint(self) -> None:
        for sequence in () if self._slots.can_trim else self._running:
            if sequence.slot is not None and sequence.computed in sequence.marks:
                sequence.marks.discard(sequence.computed)
                if sequence.computed:
                    self._slots.checkpoint(sequence.slot)

    # --- what is computed -------------------------------------------------------------------------

    def _chunks(self, rows: int, share: int) -> list[Chunk]:
        self._adapters.choose([sequence.adapters for sequence in self._running if _ready(sequence)])
        streams = self._streams(rows)
        if streams:
            self._slots.keep_bound()
        if len(streams) == len(self._running):
            return streams
        budget = self._prompt_budget(min(share, rows - len(streams)), streams)
        streams = [chunk for chunk in streams if chunk.sequence.slot is not None]
        return streams + self._prompt_chunks(budget)

    def _streams(self, rows: int) -> list[Chunk]:
        """A row for each stream, and cells for all of these rows."""
        while True:
            streams = [sequence for sequence in self._able() if sequence.decoding][:rows]
            if self._slots.room(len(streams)):
                return [Chunk(each, each.computed, 1, outputs=1) for each in streams]
            if not self.preempt():
                self._stuck += streams

    def _prompt_budget(self, budget: int, streams: list[Chunk]) -> int:
        """How many rows of prompts there are cells for; at least one if nobody streams."""
        while ready := [sequence for sequence in self._able() if self._prefills(sequence)]:
            wanted = min(budget, sum(sequence.pending for sequence in ready))
            self._slots.room(len(streams) + wanted)
            budget = min(wanted, self._slots.cells.free - len(streams))
            if budget > 0 or streams:
                return budget
            budget = wanted
            if not self.preempt():
                self._stuck += ready
        return 0

    def _prompt_chunks(self, budget: int) -> list[Chunk]:
        chunks: list[Chunk] = []
        if budget <= 0:
            return chunks
        for sequence in self._by_urgency():
            stops = (mark - sequence.computed for mark in sequence.marks)
            stop = min((stop for stop in stops if stop > 0), default=sequence.pending)
            count = min(sequence.pending, budget, stop)
            if not self._prefills(sequence) or count <= 0:
                continue
            outputs = int(sequence.samples and count == sequence.pending)
            if sequence.unscored > 0:
                outputs = count = min(count, SCORED_ROWS)
            chunks.append(Chunk(sequence, sequence.computed, count, outputs))
            budget -= count
        return chunks

    def _by_urgency(self) -> list[Sequence]:
        """By priority; who is waited for is as urgent as the most urgent one that waits."""
        able = self._able()
        ranks = {sequence: _rank(sequence) for sequence in able}
        for sequence in reversed(able):  # a leader was admitted before those that wait for it
            leader = sequence.leader
            if leader in ranks:
                ranks[leader] = min(ranks[leader], ranks[sequence])
        return sorted(able, key=ranks.__getitem__)

    def _able(self) -> list[Sequence]:
        """Those that can be computed now: a batch is computed with one set of adapters."""
        turn = self._adapters.turn
        return [
            sequence
            for sequence in self._running
            if sequence.adapters == turn and sequence not in self._stuck
        ]

    @staticmethod
    def _prefills(sequence: Sequence) -> bool:
        return not sequence.decoding and _ready(sequence)


def _ready(sequence: Sequence) -> bool:
    """Whether there is something to be computed for it right now."""
    return sequence.leader is None and sequence.pending > 0


def _origin(placement: Placement) -> str:
    """Where the beginning of a prompt comes from, in words."""
    if not placement.reused:
        return "nowhere"
    source = placement.source or placement.slot
    if source.checkpoint:
        return "a checkpoint"
    return "a running request" if placement.source and source.busy else "a retired prefix"


def _rank(sequence: Sequence) -> int:
    return RANKS[sequence.request.priority]
