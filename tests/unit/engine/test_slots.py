from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from pyollama.engine.edits import Eviction, Placement
from pyollama.engine.prefix import common_prefix, token_array
from pyollama.engine.slot import Slot
from pyollama.engine.slots import Slots


def hold(slots: Slots, *tokens: int) -> Slot:
    """Run a request of ``tokens`` to its end."""
    placement = slots.place(token_array(tokens), len(tokens) - 1)
    assert placement is not None
    slots.extend(placement.slot, token_array(tokens[placement.reused :]))
    slots.retire(placement.slot)
    return placement.slot


def place(slots: Slots, *tokens: int) -> Placement | None:
    return slots.place(token_array(tokens), len(tokens) - 1)


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)), st.integers(-1, 10))
def test_common_prefix(a: list[int], b: list[int], limit: int) -> None:
    expected = 0
    while expected < min(len(a), len(b), limit) and a[expected] == b[expected]:
        expected += 1
    assert common_prefix(token_array(a), token_array(b), limit) == expected


def test_a_prompt_that_goes_on_uses_the_retired_slot_in_place() -> None:
    slots = Slots(3, cells=100)
    first = hold(slots, 1, 2, 3)
    hold(slots, 7, 8, 9)
    placement = place(slots, 1, 2, 3, 4)
    assert placement == Placement(first, held=3, reused=3)


def test_a_shared_prefix_is_copied_so_that_the_other_stays_whole() -> None:
    slots = Slots(2, cells=100)
    first = hold(slots, 1, 2, 3, 4)
    placement = place(slots, 1, 2, 9, 9)
    assert placement is not None and placement.slot is not first
    assert (placement.source, placement.reused, placement.held) == (first, 2, 0)
    assert list(first.tokens) == [1, 2, 3, 4]


def test_a_running_sequence_is_a_source_too() -> None:
    slots = Slots(2, cells=100)
    running = place(slots, 1, 2, 3, 4)
    assert running is not None
    slots.extend(running.slot, token_array([1, 2, 3]))
    placement = place(slots, 1, 2, 3, 4)
    assert placement is not None and placement.source is running.slot and placement.reused == 3
    assert place(slots, 5, 6) is None


def test_the_slot_that_was_idle_longest_gives_way() -> None:
    slots = Slots(3, cells=100)
    held = [hold(slots, n, n, n) for n in (1, 2, 3)]
    placement = place(slots, 9, 9, 9)
    assert placement == Placement(held[0], held=0, reused=0)
    assert slots.take_edits() == [Eviction(held[0], token_array([1, 1, 1]))]


def test_the_last_slot_is_cut_back_in_place() -> None:
    slots = Slots(1, cells=100)
    only = hold(slots, 1, 2, 3, 4)
    assert place(slots, 1, 2, 9) == Placement(only, held=4, reused=2)
    assert list(only.tokens) == [1, 2]


def test_one_token_is_always_left_to_compute() -> None:
    slots = Slots(2, cells=100)
    hold(slots, 1, 2, 3)
    placement = place(slots, 1, 2, 3)
    assert placement is not None and placement.reused == 2


def test_behind_a_shift_nothing_is_offered() -> None:
    slots = Slots(2, cells=100)
    placement = place(slots, 1, 2, 3, 4, 5, 6)
    assert placement is not None
    slots.extend(placement.slot, token_array([1, 2, 3, 4, 5, 6]))
    assert slots.shift(placement.slot, "a", keep=2, discard=2)
    slots.extend(placement.slot, token_array([7]))
    assert list(placement.slot.tokens) == [1, 2, 5, 6, 7]
    slots.retire(placement.slot)
    assert slots.match(token_array([1, 2, 5, 6, 7, 8]), 5) == (placement.slot, 2)


def test_memory_that_cannot_be_trimmed_only_goes_on() -> None:
    slots = Slots(2, cells=100, can_trim=False)
    first = hold(slots, 1, 2, 3)
    fresh = place(slots, 1, 2, 9)
    assert fresh is not None and fresh.reused == 0 and fresh.source is None
    assert fresh.slot is not first
    assert place(slots, 1, 2, 3, 4) == Placement(first, held=3, reused=3)


def test_memory_that_cannot_be_trimmed_never_copies_from_a_running_sequence() -> None:
    slots = Slots(2, cells=100, can_trim=False)
    running = place(slots, 1, 2, 3)
    assert running is not None
    slots.extend(running.slot, token_array([1, 2, 3]))
    placement = place(slots, 1, 2, 3, 4)
    assert placement is not None and placement.reused == 0


def test_eviction_takes_the_oldest_and_never_a_busy_one() -> None:
    slots = Slots(3, cells=100)
    old = hold(slots, 1, 1)
    busy = place(slots, 2, 2)
    assert busy is not None
    slots.extend(busy.slot, token_array([2, 2]))
    assert slots.evict() is old and len(old.tokens) == 0
    assert slots.evict() is None


def test_a_restored_prefix_is_found() -> None:
    slots = Slots(2, cells=100)
    hold(slots, 5, 5, 5)
    adopted = slots.adopt(token_array([1, 2, 3]))
    assert adopted is not None
    assert slots.match(array("i", [1, 2, 3, 4]), 3) == (adopted, 3)


# --- more sequences than may run ------------------------------------------------------------------


def kept(slots: Slots) -> list[list[int]]:
    return sorted(list(slot.tokens) for slot in slots.retired)


def test_retired_prefixes_stay_while_there_are_slots() -> None:
    slots = Slots(5, cells=100, running=1)
    for n in range(5):
        hold(slots, n, n, n)
    assert slots.idle == 1
    assert len(kept(slots)) == 5
    hold(slots, 7, 7, 7)
    assert [0, 0, 0] not in kept(slots)


def test_no_more_run_than_may() -> None:
    slots = Slots(5, cells=100, running=2)
    assert place(slots, 1, 2) and place(slots, 3, 4)
    assert slots.idle == 0 and place(slots, 5, 6) is None


def test_what_costs_least_to_compute_again_goes_first() -> None:
    slots = Slots(4, cells=100)
    long = hold(slots, *range(50))
    hold(slots, 60, 61)
    assert slots.evict() is not long, "although it is older"


def test_what_another_sequence_stands_in_for_costs_nothing() -> None:
    slots = Slots(4, cells=100)
    hold(slots, *range(60, 80))
    part = hold(slots, *range(10, 30))
    whole = place(slots, *range(10, 34))
    assert whole is not None and whole.slot is part, "it goes on in place"
    slots.extend(whole.slot, token_array([30, 31, 32, 33]))
    copy = place(slots, *range(10, 30), 99, 98)
    assert copy is not None
    slots.extend(copy.slot, token_array([99]))
    slots.retire(copy.slot)
    assert slots.evict() is copy.slot, "one token of its own, against twenty older ones"
    assert slots.cells.used == 20 + 24


def test_the_old_goes_before_the_new_of_the_same_length() -> None:
    slots = Slots(3, cells=100)
    first, second = hold(slots, 1, 1, 1), hold(slots, 2, 2, 2)
    hold(slots, 1, 1, 1, 1)
    assert first.tokens and slots.evict() is second


def test_a_sequence_that_another_one_covers_is_not_kept() -> None:
    slots = Slots(4, cells=100)
    hold(slots, 1, 2, 3, 4)
    again = place(slots, 1, 2, 3, 4)
    assert again is not None
    slots.extend(again.slot, token_array([4]))
    slots.retire(again.slot)
    assert kept(slots) == [[1, 2, 3, 4]]
    assert slots.cells.used == 4 and slots.evictions == 0


def test_retired_prefixes_keep_to_their_bound() -> None:
    slots = Slots(9, cells=100, retained=10)
    running = place(slots, *range(50, 80))
    assert running is not None
    slots.extend(running.slot, token_array(range(50, 80)))
    for n in range(5):
        hold(slots, n, n, n, n)
    for left in (4, 3, 2, 2):
        slots.keep_bound()
        assert len(kept(slots)) == left
    assert slots.cells.used == 30 + 8
    shared = place(slots, *range(50, 80), 1, 2)
    assert shared is not None
    slots.extend(shared.slot, token_array([1, 2]))
    slots.retire(shared.slot)
    slots.keep_bound()
    assert slots.cells.used == 30 + 10, "cells of those that run do not count"


def test_room_is_made_of_retired_prefixes_only() -> None:
    slots = Slots(4, cells=20)
    hold(slots, 1, 1, 1, 1)
    busy = place(slots, 2, 2, 2)
    assert busy is not None
    slots.extend(busy.slot, token_array([2] * 14))
    assert slots.room(2) and slots.cells.used == 18
    assert slots.room(6) and slots.cells.used == 14
    assert not slots.room(7)


def test_a_shift_makes_room_for_cells_of_its_own() -> None:
    slots = Slots(4, cells=30)
    first = hold(slots, *range(12))
    placement = place(slots, *range(12), 99)
    assert placement is not None and placement.slot is first
    slots.extend(first, token_array([99]))
    other = place(slots, *range(12), 98)
    assert other is not None and slots.cells.used == 13
    assert slots.shift(first, "a", keep=2, discard=4)
    assert slots.cells.used == 12 + 9
    assert not slots.shift(other.slot, "b", keep=0, discard=1) or slots.cells.used <= 30
