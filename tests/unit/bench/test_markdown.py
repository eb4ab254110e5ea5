from __future__ import annotations

from typing import Any

from bench.markdown import markdown
from bench.spread import Spread, ratios

ROUNDS = [
    {"workload": "single", "contender": "us", "round": 0, "rate": 40.0, "ttft_p50": 0.5},
    {"workload": "single", "contender": "them", "round": 0, "rate": 32.0, "ttft_p50": 0.8},
]
CONDITIONS: dict[str, Any] = {
    "conditions": {
        "commit": "abc",
        "date": "2026-11-21T12:00:00+00:00",
        "hardware": {"processor": "Some CPU"},
        "versions": {"llama.cpp": "0c1e57098"},
    },
    "options": {"model": None, "shape": "s", "type": "Q4_0", "threads": 2, "rounds": 1},
}
FOOT = "2026-11-21, commit abc, Some CPU, 2 threads, s Q4_0, 1 rounds, llama.cpp 0c1e57098."


def test_rounds_as_a_table() -> None:
    report = CONDITIONS | {
        "contenders_in_order": ["us", "them", "absent"],
        "workloads": {"single": "1 client"},
        "rounds": ROUNDS,
        "ratios": ratios(ROUNDS, "us"),
    }
    assert markdown("workloads", report).splitlines() == [
        "| workload | us | them | absent | ÷ them | ÷ absent |",
        "|---|---|---|---|---|---|",
        "| single | 40.0 (0.50 s) | 32.0 (0.80 s) | - | 1.25 | - |",
        "",
        FOOT,
    ]


def test_figures_as_a_table() -> None:
    spread = Spread.of([1.0, 2.0, 30.0]).to_json()
    bound = {"name": "gap", "unit": "ms", "bound": "at most", "limit": 5, **spread}
    plain = {"name": "threads", "unit": "", **Spread.of([4]).to_json()}
    report = CONDITIONS | {"figures": {"gap": bound, "threads": plain}}
    assert markdown("gap", report).splitlines() == [
        "| gap | median | range | wanted |",
        "|---|---|---|---|",
        "| gap | 2 ms | 1 .. 30 | at most 5 |",
        "| threads | 4 |  |  |",
        "",
        FOOT,
    ]
