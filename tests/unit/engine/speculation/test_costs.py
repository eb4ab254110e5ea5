"""What steps cost."""

from __future__ import annotations

import pytest

from pyollama.engine.speculation.costs import Range, StepCosts


def costs_of(**seconds: float) -> StepCosts:
    """``n4=2.0`` is a step of 4 rows that was seen twice."""
    costs = StepCosts()
    for rows, value in seconds.items():
        for _ in range(2):
            costs.observe(int(rows[1:]), value)
    return costs


def test_one_measurement_is_not_enough() -> None:
    costs = StepCosts()
    costs.observe(4, 2.0)
    assert costs.measured(4) is None
    assert costs.bounds(4) == Range(1.0, 2.0)
    costs.observe(4, 2.0)
    assert costs.measured(4) == 2.0


def test_a_disturbed_step_counts_little() -> None:
    costs = costs_of(n1=1.0)
    for _ in range(20):
        costs.observe(1, 1.0)
    costs.observe(1, 100.0)
    assert costs.measured(1) == pytest.approx(1.1, abs=0.05)


def test_it_follows_a_machine_that_changed() -> None:
    costs = costs_of(n1=1.0)
    for _ in range(60):
        costs.observe(1, 3.0)
    assert costs.measured(1) == pytest.approx(3.0, rel=0.05)


def test_what_slows_one_size_slows_all() -> None:
    """Or a size that was measured at a better time would look cheap."""
    costs = costs_of(n1=1.0, n8=2.0)
    for seconds in [1.0] * 40 + [3.0] * 60:
        costs.observe(1, seconds)
    assert costs.measured(8) == pytest.approx(6.0, rel=0.2)


def test_what_is_thinkable_lies_between_the_neighbours() -> None:
    assert costs_of(n1=1.0).bounds(4) == Range(1.0, 4.0)
    assert costs_of(n1=1.0, n2=1.5, n16=4.0).bounds(8) == Range(1.5, 4.0)
    assert costs_of(n8=1.0).bounds(4) is None


def test_large_steps_are_told_apart_roughly() -> None:
    costs = StepCosts()
    for rows in range(65, 1000):
        costs.observe(rows, 1.0)
    assert costs.measured(64) == costs.measured(256) == 1.0
    assert len(costs._means) == 4


def test_what_was_long_ago_is_forgotten() -> None:
    costs = costs_of(n1=1.0, n8=2.0)
    for _ in range(3000):
        costs.observe(1, 1.0)
    assert costs.measured(8) is None
    assert costs.bounds(8) == Range(1.0, 8.0)
