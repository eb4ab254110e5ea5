"""Lines of progress, without a terminal."""

from __future__ import annotations

import click
import pytest

from pyollama.cli.bars import Bar, Spinner, duration
from pyollama.cli.pull import parse_rate

WIDTH = 80


def test_a_bar_shows_share_sizes_rate_and_what_is_left() -> None:
    bar = Bar("pulling 0123456789ab", 4_700_000_000, 0, now=0.0)
    for second in range(1, 41):
        bar.update(second * 35_000_000, now=float(second))
    line = bar.line(WIDTH, now=40.0)
    assert line.startswith("pulling 0123456789ab:  29% ▕")
    assert line.endswith("1.4 GB/4.7 GB    35 MB/s   1m34s")
    assert len(line) <= WIDTH


def test_the_rate_counts_what_came_lately_not_what_was_there() -> None:
    bar = Bar("pulling", 1000, 900, now=0.0)
    assert bar.rate(0.5) == 0
    for second in range(1, 31):
        bar.update(900 + second, now=float(second))
    assert bar.rate(30.0) == pytest.approx(1.0)


def test_a_finished_bar_shows_the_total_only() -> None:
    bar = Bar("pulling 0123456789ab", 274_000_000, 274_000_000, now=0.0)
    line = bar.line(WIDTH, now=9.0)
    assert line.startswith("pulling 0123456789ab: 100% ▕██")
    assert line.endswith("█▏ 274 MB")


def test_bars_are_of_the_same_length() -> None:
    bars = [Bar("pulling 0123456789ab", 10**9, n, now=0.0) for n in (1, 10**8, 10**9)]
    assert len({bar.line(WIDTH, now=0.0).index("▏") for bar in bars}) == 1


@pytest.mark.parametrize("width", [1, 20, 40, 57])
def test_a_narrow_terminal_gets_a_cut_line(width: int) -> None:
    bar = Bar("pulling 0123456789ab", 10**9, 10**8, now=0.0)
    assert len(bar.line(width, now=2.0)) <= width


def test_a_spinner_turns_until_it_has_ended() -> None:
    spinner = Spinner("pulling manifest")
    assert len({spinner.line(WIDTH, now=n / 10) for n in range(10)}) == 10
    spinner.ended = True
    assert spinner.line(WIDTH, now=0.0) == "pulling manifest"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (45.9, "45s"), (100, "1m40s"), (3600, "1h0m"), (7500, "2h5m"), (356400, "99h+")],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "rate"),
    [("0", 0), ("500", 500), ("10MB", 10**7), ("1.5g", 15 * 10**8), ("2k/s", 2000), ("0.001", 1)],
)
def test_rates(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "-1", "10TB", "1e9", "10 MB MB", "9" * 40])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(click.UsageError, match="no rate"):
        parse_rate(text)
