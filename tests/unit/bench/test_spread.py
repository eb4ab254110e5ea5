from __future__ import annotations

from typing import Any

import pytest
from bench.spread import Spread, percentile, ratios, spreads

JSON = dict[str, Any]


def row(contender: str, number: int, rate: float, **figures: float) -> JSON:
    return {"workload": "w", "contender": contender, "round": number, "rate": rate, **figures}


def test_spread_of_values() -> None:
    assert Spread.of([3, 1, 2, 10]) == Spread(2.5, 1, 10, 4)
    assert Spread.of([7]) == Spread(7, 7, 7, 1)


def test_spread_survives_json() -> None:
    spread = Spread.of([1.0, 2.0])
    assert Spread.from_json(spread.to_json()) == spread


def test_spread_as_text() -> None:
    assert Spread.of([1, 2, 4]).text() == "2.00 (1.00..4.00)"
    assert Spread.of([1.234]).text(1) == "1.2"


@pytest.mark.parametrize(("percent", "value"), [(50, 51.0), (99, 100.0)])
def test_percentile(percent: int, value: float) -> None:
    assert percentile([float(n) for n in range(1, 102)], percent) == pytest.approx(value)


def test_percentile_of_one_value() -> None:
    assert percentile([4.0], 99) == 4.0


def test_spreads_leave_out_rounds_without_the_figure() -> None:
    rows = [row("a", 0, 1.0, ttft_p50=2.0), row("a", 1, 3.0), row("b", 0, 5.0)]
    assert spreads(rows, "ttft_p50") == {("w", "a"): Spread.of([2.0])}
    assert spreads(rows, "rate") == {("w", "a"): Spread.of([1, 3]), ("w", "b"): Spread.of([5])}


def test_ratios_divide_within_a_round() -> None:
    # The machine is twice as fast in the second round: the ratio does not notice.
    rows = [row("a", 0, 10), row("b", 0, 5), row("a", 1, 20), row("b", 1, 10)]
    assert ratios(rows, "a") == {"w": {"b": {"rate": Spread(2, 2, 2, 2).to_json()}}}


def test_ratios_without_a_partner_are_left_out() -> None:
    rows = [row("a", 0, 10), row("b", 0, 5), row("b", 1, 1), row("a", 2, 1), row("b", 2, 0)]
    assert ratios(rows, "a")["w"]["b"]["rate"] == Spread.of([2.0]).to_json()


def test_ratios_of_times_to_first_token() -> None:
    rows = [row("a", 0, 1, ttft_p50=1.0), row("b", 0, 1, ttft_p50=4.0)]
    assert ratios(rows, "a")["w"]["b"]["ttft_p50"]["median"] == 0.25
