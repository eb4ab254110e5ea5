from __future__ import annotations

from collections.abc import Iterable

from pyollama.engine.edits import Placement, Shift
from pyollama.engine.pace import Demand
from pyollama.engine.scheduler import MIN_SHARED, Plan, Scheduler
from pyollama.engine.sequence import Sequence
from pyollama.engine.slots import Slots
from pyollama.types import GenerateRequest, Priority

SYSTEM = list(range(100, 200))


class Bench:
    """A scheduler, and plans that are carried out in thought: every sample is token 7."""

    def __init__(
        self,
        slots: int = 3,
        *,
        sequences: int | None = None,
        cells: int = 10_000,
        retained: int | None = None,
        can_trim: bool = True,
        can_shift: bool = True,
    ) -> None:
        self.slots = Slots(
            sequences or slots, cells=cells, running=slots, retained=retained, can_trim=can_trim
        )
        self.scheduler = Scheduler(self.slots, can_shift=can_shift)

    def add(
        self,
        tokens: Iterable[int],
        *,
        n_ctx: int = 1000,
        shift: bool = False,
        priority: Priority = "normal",
    ) -> Sequence:
        request = GenerateRequest("", list(tokens), shift=shift, priority=priority)
        sequence = Sequence(request, n_ctx)
        self.scheduler.add(sequence)
        return sequence

    def step(self, rows: int = 64, prefill: int | None = None) -> Plan:
        plan = self.scheduler.plan(rows, rows if prefill is None else prefill)
        for chunk in plan.chunks:
            self.scheduler.computed(chunk)
            if chunk.outputs:
                chunk.sequence.append(7)
        return plan


def counts(plan: Plan, *sequences: Sequence) -> list[int]:
    by_sequence = {id(chunk.sequence): chunk.count for chunk in plan.chunks}
    return [by_sequence.get(id(sequence), 0) for sequence in sequences]


def test_prompts_are_cut_into_chunks_in_the_order_of_arrival() -> None:
    bench = Bench()
    a, b = bench.add(range(100)), bench.add(range(200, 250))
    assert counts(bench.step(), a, b) == [64, 0]
    assert counts(bench.step(), a, b) == [36, 28]
    assert counts(bench.step(), a, b) == [1, 22]
    assert (a.generated, b.generated) == (2, 1)


def test_streams_come_first_and_prefill_keeps_to_its_budget() -> None:
    bench = Bench()
    stream = bench.add([1, 2])
    bench.step()
    late = bench.add(range(100))
    assert counts(bench.step(rows=32, prefill=10), stream, late) == [1, 10]
    assert counts(bench.step(rows=4, prefill=10), stream, late) == [1, 3]


def test_admission_is_by_slot_and_first_come_first_served() -> None:
    bench = Bench(slots=1)
    a, b = bench.add([1, 2]), bench.add([3, 4])
    assert bench.step().admitted == [a]
    assert bench.step().admitted == []
    bench.scheduler.finish(a)
    assert bench.step().admitted == [b]


def test_a_request_waits_for_the_one_that_computes_its_prefix_and_copies() -> None:
    bench = Bench(slots=8)
    leader = bench.add([*SYSTEM, 1, 2])
    followers = [bench.add([*SYSTEM, n]) for n in range(10, 17)]
    assert counts(bench.step(), leader, *followers) == [64] + [0] * 7
    assert counts(bench.step(), leader, *followers) == [38] + [0] * 7
    plan = bench.step()
    assert counts(plan, leader, *followers) == [1] * 8
    assert [follower.cached for follower in followers] == [len(SYSTEM)] * 7
    assert all(isinstance(edit, Placement) and edit.source for edit in plan.edits)


def test_who_is_waited_for_is_as_urgent_as_who_waits() -> None:
    bench = Bench()
    leader = bench.add([*SYSTEM, 1], priority="batch")
    bench.step(prefill=1)
    other = bench.add(range(300, 400))
    urgent = bench.add([*SYSTEM, 2], priority="interactive")
    assert counts(bench.step(prefill=20), leader, other, urgent) == [20, 0, 0]


def test_retired_prefixes_keep_to_their_bound_only_while_somebody_streams() -> None:
    bench = Bench(sequences=9, retained=50)
    for n in range(3):
        retired = bench.add([n] * 40)
        bench.step()
        bench.scheduler.finish(retired)
    assert bench.slots.cells.used == 120
    bench.add([7, 8, 9])
    bench.step()
    assert bench.slots.cells.used == 123
    used = []
    for _ in range(3):
        bench.step()
        used.append(bench.slots.cells.used)
    assert used == [80 + 4, 40 + 5, 40 + 6]


def test_a_short_common_prefix_is_not_worth_waiting() -> None:
    bench = Bench()
    shared = range(MIN_SHARED - 1)
    a, b = bench.add([*shared, 500]), bench.add([*shared, 600])
    assert counts(bench.step(), a, b) == [32, 32]


def test_when_the_leader_dies_one_follower_leads_and_none_starves() -> None:
    bench = Bench()
    leader, first, second = (bench.add([*SYSTEM, n]) for n in (1, 2, 3))
    bench.step()
    bench.scheduler.finish(leader)
    assert counts(bench.step(), first, second) == [37, 0]
    assert first.cached == 64, "what the leader had computed is used"
    assert counts(bench.step(), first, second) == [1, 1]
    assert second.cached == 100


def test_followers_of_a_longer_prefix_wait_for_each_other_in_turn() -> None:
    bench = Bench()
    extra = list(range(300, 350))
    a = bench.add([*SYSTEM, 1])
    b = bench.add([*SYSTEM, *extra, 2])
    c = bench.add([*SYSTEM, *extra, 3])
    for _ in range(8):
        bench.step()
    assert (a.cached, b.cached, c.cached) == (0, 100, 150)
    assert min(a.generated, b.generated, c.generated) > 0


def test_without_a_spare_sequence_memory_that_cannot_be_cut_makes_nobody_wait() -> None:
    bench = Bench(can_trim=False)
    a, b = bench.add(SYSTEM), bench.add(SYSTEM)
    assert counts(bench.step(256), a, b) == [99, 99]


def test_where_memory_cannot_be_cut_the_leader_leaves_checkpoints() -> None:
    bench = Bench(slots=4, can_trim=False, sequences=8)
    leader = bench.add([*SYSTEM, 1, 2])
    followers = [bench.add([*SYSTEM, n, n]) for n in (3, 4)]
    assert counts(bench.step(256), leader, *followers) == [100, 0, 0]
    assert counts(bench.step(256), leader, *followers) == [1, 1, 1]
    assert [follower.cached for follower in followers] == [100, 100]
    assert counts(bench.step(256), leader, *followers) == [1, 1, 1]
    again = bench.add([*SYSTEM, 1, 2])
    bench.step(256)
    assert again.cached == 101, "one token before the end of a prompt"


def test_a_prompt_that_leaves_what_another_had_is_kept_there() -> None:
    bench = Bench(slots=1, can_trim=False, sequences=8)
    for n in (1, 2, 3):
        sequence = bench.add([*SYSTEM, n, n, n])
        while not sequence.generated:
            bench.step(256)
        bench.scheduler.finish(sequence)
        assert sequence.cached == (100 if n == 3 else 0), "the second one saw where they part"


def test_a_full_context_is_shifted_where_the_request_allows_it() -> None:
    bench = Bench()
    sequence = bench.add(range(10), n_ctx=12, shift=True)
    bench.step()
    assert not bench.scheduler.at_limit(sequence)
    bench.step()
    assert sequence.full and not bench.scheduler.at_limit(sequence)
    slot = sequence.slot
    assert slot is not None
    plan = bench.step()
    assert plan.edits == [Shift("", slot, keep=0, discard=5, length=11)]
    assert list(sequence.tokens) == [5, 6, 7, 8, 9, 7, 7, 7]


def test_a_full_context_is_a_limit_where_it_cannot_be_shifted() -> None:
    for bench, shift in ((Bench(), False), (Bench(can_shift=False), True)):
        sequence = bench.add(range(10), n_ctx=11, shift=shift)
        bench.step()
        assert bench.scheduler.at_limit(sequence)


def test_demand_counts_who_streams_and_who_waits_for_a_slot_that_is_there() -> None:
    bench = Bench(slots=3)
    bench.add([1, 2])
    bench.step()
    for _ in range(3):
        bench.add(range(10))
    assert bench.scheduler.demand == Demand(streams=0, fresh=1, prompts=2, prompt_tokens=20)
    bench.step()
    assert bench.scheduler.demand == Demand(streams=1, fresh=2, prompts=0, prompt_tokens=0)


def test_a_waiting_request_can_be_finished() -> None:
    bench = Bench(slots=1)
    a, b = bench.add([1, 2]), bench.add([3, 4])
    bench.step()
    bench.scheduler.finish(b)
    assert (bench.scheduler.waiting, bench.scheduler.running) == (0, [a])
