"""Pictures of a report of workloads: one PNG per workload, beside the JSON.

Bars are medians over the rounds, whiskers go from the least to the greatest value, and a line shows
the limit that llama.cpp sets without a server.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report import model_of
from bench.spread import Spread, spreads

if TYPE_CHECKING:
    from matplotlib.axes import Axes

JSON = dict[str, Any]
_PANELS = (
    ("rate", "output per second (more is better)", 1.0),
    ("ttft_p50", "time to first token, ms (less is better)", 1000.0),
    ("gap_p99", "gap between pieces, p99, ms (less is better)", 1000.0),
)
_RAW = "raw limit"
_SUBJECT_COLOUR, _PEER_COLOUR, _LIMIT_COLOUR = "#6aaed6", "#b5bcc4", "#c1440e"


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure of all contenders, in the order they were named; ``limit`` is the raw one."""

    title: str
    bars: tuple[tuple[str, Spread], ...]
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    footer: str
    panels: tuple[Panel, ...]


def charts(report: JSON) -> Iterator[tuple[str, Chart]]:
    """Workload and its chart; figures that a workload does not have get no panel."""
    conditions = report["conditions"]
    hardware, options = conditions["hardware"], report["options"]
    footer = (
        f"{conditions['commit']}, {conditions['date'][:10]}, {hardware['processor']}, "
        f"{options['threads']} threads, {model_of(options)}"
    )
    columns = {key: spreads(report["rounds"], key) for key, _, _ in _PANELS}
    for workload, text in report["workloads"].items():
        panels = tuple(
            panel
            for key, title, factor in _PANELS
            if (panel := _panel(title, factor, columns[key], workload)).bars
        )
        if panels:
            yield workload, Chart(f"{workload}: {text}", footer, panels)


def _panel(
    title: str, factor: float, column: dict[tuple[str, str], Spread], workload: str
) -> Panel:
    found = {
        contender: Spread(s.median * factor, s.low * factor, s.high * factor, s.n)
        for (name, contender), s in column.items()
        if name == workload
    }
    limit = found.pop(_RAW, None)
    return Panel(title, tuple(found.items()), limit.median if limit else None)


def draw_all(report_path: Path) -> list[Path]:
    """The pictures that were written. Raises ``ImportError`` without matplotlib."""
    report = json.loads(report_path.read_text())
    written = []
    for workload, chart in charts(report):
        path = report_path.with_name(f"{report_path.stem}-{workload}.png")
        draw(chart, path)
        written.append(path)
    return written


def draw(chart: Chart, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(chart.panels) + 0.6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(chart.title, fontsize=11)
    figure.supxlabel(chart.footer, fontsize=7, color="#666666")
    axes: Sequence[Axes] = figure.subplots(1, len(chart.panels), squeeze=False)[0]
    for axis, panel in zip(axes, chart.panels, strict=True):
        _draw_panel(axis, panel)
    figure.savefig(path, dpi=150)


def _draw_panel(axis: Axes, panel: Panel) -> None:
    names = [name for name, _ in panel.bars]
    medians = [spread.median for _, spread in panel.bars]
    whiskers = [
        [spread.median - spread.low for _, spread in panel.bars],
        [spread.high - spread.median for _, spread in panel.bars],
    ]
    colours = [_SUBJECT_COLOUR] + [_PEER_COLOUR] * (len(names) - 1)
    bars = axis.bar(names, medians, color=colours, yerr=whiskers, capsize=4, width=0.6)
    axis.bar_label(bars, fmt="{:,.4g}", fontsize=8, padding=2, label_type="center")
    if panel.limit is not None:
        axis.axhline(panel.limit, color=_LIMIT_COLOUR, linewidth=1.2, linestyle="--")
        axis.annotate(
            f"raw limit {panel.limit:,.4g}",
            (1, panel.limit),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=8,
            color=_LIMIT_COLOUR,
        )
    axis.set_title(panel.title, fontsize=9)
    axis.tick_params(labelsize=8)
    axis.set_ylim(bottom=0)
    axis.spines[["top", "right"]].set_visible(False)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("report", type=Path, help="a JSON file of 'python -m bench'")


def run(options: argparse.Namespace) -> int:
    for path in draw_all(options.report):
        print(path)
    return 0
