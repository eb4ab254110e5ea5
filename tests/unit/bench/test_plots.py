from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench.plots import charts, draw
from bench.spread import Spread

REPORT: dict[str, Any] = {
    "conditions": {
        "commit": "abc",
        "date": "2026-11-21T12:00:00+00:00",
        "hardware": {"processor": "Some CPU"},
    },
    "options": {"model": None, "threads": 2, "shape": "qwen2.5-0.5b", "type": "Q4_0"},
    "workloads": {"single": "1 client", "embed256": "256 texts"},
    "rounds": [
        {"workload": "single", "contender": "us", "round": 0, "rate": 40.0, "ttft_p50": 0.5},
        {"workload": "single", "contender": "them", "round": 0, "rate": 30.0, "ttft_p50": 0.8},
        {"workload": "single", "contender": "raw limit", "round": 0, "rate": 50.0},
        {"workload": "single", "contender": "us", "round": 1, "rate": 44.0, "ttft_p50": 0.7},
    ],
}


def test_one_chart_per_workload_that_was_played() -> None:
    ((name, chart),) = charts(REPORT)
    assert (name, chart.title) == ("single", "single: 1 client")
    assert "abc, 2026-11-21, Some CPU, 2 threads" in chart.footer
    rate, ttft = chart.panels
    assert rate.bars == (("us", Spread(42, 40, 44, 2)), ("them", Spread(30, 30, 30, 1)))
    assert rate.limit == 50
    assert ttft.limit is None
    assert ttft.bars[0][1].median == pytest.approx(600)


def test_a_chart_can_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    ((_, chart),) = charts(REPORT)
    draw(chart, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
