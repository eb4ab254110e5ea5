from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from pyollama.engine.sequence import Sequence
from pyollama.engine.waiting import PATIENCE, Waiting
from pyollama.types import GenerateRequest, Priority

PRIORITIES: tuple[Priority, ...] = ("interactive", "normal", "batch")


def sequence(priority: Priority = "normal", key: str = "") -> Sequence:
    return Sequence(GenerateRequest("", [1, 2, 3], priority=priority, key=key), 100)


def add(waiting: Waiting, priority: Priority = "normal", key: str = "") -> Sequence:
    added = sequence(priority, key)
    waiting.add(added)
    return added


def admit(waiting: Waiting) -> Sequence:
    first = waiting.first()
    assert first is not None
    waiting.take(first)
    return first


def test_priority_goes_before_arrival() -> None:
    waiting = Waiting()
    batch, normal, other, urgent = (
        add(waiting, priority) for priority in ("batch", "normal", "normal", "interactive")
    )
    assert [admit(waiting) for _ in range(4)] == [urgent, normal, other, batch]
    assert waiting.first() is None


def test_the_key_for_which_least_was_computed_goes_first() -> None:
    waiting = Waiting()
    greedy = [add(waiting, key="greedy") for _ in range(3)]
    assert admit(waiting) is greedy[0]
    waiting.served(greedy[0], 100)
    modest = add(waiting, key="modest")
    waiting.served(modest, 0)
    assert admit(waiting) is greedy[1], "who comes begins level with the others"
    waiting.served(greedy[1], 100)
    assert admit(waiting) is modest
    assert admit(waiting) is greedy[2]


def test_what_had_to_give_way_goes_before_its_like() -> None:
    waiting = Waiting()
    early, late = add(waiting), add(waiting)
    waiting.take(early)
    waiting.take(late)
    late.started = True
    waiting.put_back(late)
    fresh, urgent = add(waiting), add(waiting, "interactive")
    assert [admit(waiting) for _ in range(3)] == [urgent, late, fresh]


def test_a_key_that_is_gone_leaves_nothing_behind() -> None:
    waiting = Waiting()
    for number in range(100):
        one = add(waiting, key=str(number))
        admit(waiting)
        waiting.served(one, number)
        waiting.leave(one)
    assert not waiting._service and not waiting._active


@settings(max_examples=30)
@given(
    st.sampled_from(PRIORITIES),
    st.lists(st.tuples(st.sampled_from(PRIORITIES), st.sampled_from("abc")), min_size=1),
)
def test_nobody_is_overtaken_for_ever(
    priority: Priority, rivals: list[tuple[Priority, str]]
) -> None:
    waiting = Waiting()
    mine = add(waiting, priority, "mine")
    waiting.served(mine, 1_000_000)
    overtaken = 0
    for rival in itertools.cycle(rivals):
        add(waiting, *rival)
        if admit(waiting) is mine:
            break
        overtaken += 1
    assert overtaken <= PATIENCE * (1 + PRIORITIES.index(priority))


@settings(max_examples=30)
@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_keys_that_all_wait_get_equal_shares(order: list[str]) -> None:
    waiting = Waiting()
    for key in order + list("abc") * 10:
        add(waiting, key=key)
    served = dict.fromkeys("abc", 0)
    for _ in range(30):
        one = admit(waiting)
        waiting.served(one, 10)
        served[one.request.key] += 10
    assert max(served.values()) - min(served.values()) <= 10
