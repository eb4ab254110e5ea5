from __future__ import annotations

from typing import Any

import pytest
from bench.compare import Change, changes
from bench.spread import Spread

JSON = dict[str, Any]


def ratios(peer: str, *values: float) -> JSON:
    return {"ratios": {"single": {peer: {"rate": Spread.of(values).to_json()}}}}


def figures(bound: str, *values: float) -> JSON:
    figure = Spread.of(values).to_json() | {"bound": bound, "limit": 1.0}
    return {"figures": {"first token": figure}}


def regressed(old: JSON, new: JSON, tolerance: float = 0.05) -> bool:
    (change,) = changes(old, new)
    return change.regressed(tolerance)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([1.20, 1.25, 1.30], [1.0, 1.05, 1.1], True),
        ([1.20, 1.25, 1.30], [1.19, 1.20, 1.22], False),  # within the tolerance
        ([0.90, 1.25, 1.30], [1.0, 1.05, 1.1], False),  # the old report saw as little
        ([1.20, 1.25, 1.30], [1.5, 1.6, 1.7], False),
    ],
)
def test_ratios_that_fell(old: list[float], new: list[float], expected: bool) -> None:
    assert regressed(ratios("llama-server", *old), ratios("llama-server", *new)) is expected


def test_less_is_better_for_figures_with_an_upper_bound() -> None:
    assert regressed(figures("at most", 1.0, 1.1), figures("at most", 2.0))
    assert not regressed(figures("at most", 1.0, 1.1), figures("at most", 0.5))
    assert regressed(figures("at least", 1.0, 1.1), figures("at least", 0.5))


def test_only_what_both_have_is_compared() -> None:
    both = ratios("llama-server", 1.0) | figures("at most", 1.0)
    assert not list(changes(both, ratios("ollama", 1.0)))
    names = [change.name for change in changes(both, both)]
    assert names == ["single ÷ llama-server, rate", "first token"]
    assert [change.name for change in changes(both, both, against="ollama")] == ["first token"]


def test_figures_without_a_bound_have_no_better_side() -> None:
    figure = {"figures": {"memory": Spread.of([1.0]).to_json()}}
    assert not list(changes(figure, figure))


def test_gain() -> None:
    faster = Change("x", Spread.of([2.0]), Spread.of([1.0]), more_is_better=False)
    slower = Change("x", Spread.of([2.0]), Spread.of([1.0]), more_is_better=True)
    assert faster.gain == pytest.approx(1.0)
    assert slower.gain == pytest.approx(-0.5)
