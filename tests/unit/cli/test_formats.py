from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pyollama.cli import formats
from pyollama.cli.ps import processor

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1500, "1.5 KB"),
        (273_900_000, "273 MB"),
        (2_000_000_000, "2 GB"),
        (9_600_000_000, "9.6 GB"),
        (4_700_000_000_000, "4.7 TB"),
    ],
)
def test_size(n: int, text: str) -> None:
    assert formats.size(n) == text


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (512, "512"),
        (82_000, "82K"),
        (2_712_576, "2.71M"),
        (137_000_000, "137M"),
        (137_022_720, "137.02M"),
        (8_000_000_000, "8B"),
        (8_030_261_312, "8.0B"),
    ],
)
def test_count(n: int, text: str) -> None:
    assert formats.count(n) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(milliseconds=300), "Less than a second ago"),
        (timedelta(seconds=1), "1 second ago"),
        (timedelta(seconds=59), "59 seconds ago"),
        (timedelta(seconds=61), "About a minute ago"),
        (timedelta(minutes=4, seconds=59), "4 minutes ago"),
        (timedelta(minutes=61), "About an hour ago"),
        (timedelta(hours=47), "47 hours ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=15), "2 weeks ago"),
        (timedelta(days=61), "2 months ago"),
        (timedelta(days=800), "2 years ago"),
        (timedelta(minutes=-5), "5 minutes from now"),
        (timedelta(days=-9000), "Forever"),
    ],
)
def test_relative_time(ago: timedelta, text: str) -> None:
    assert formats.relative_time(NOW - ago, NOW) == text


def test_zero_time_is_never() -> None:
    assert formats.relative_time(datetime(1, 1, 1, tzinfo=UTC), NOW) == "Never"


def test_table_pads_every_cell() -> None:
    text = formats.table(("NAME", "ID"), [("a-long-name", "1"), ("b", "22")])
    assert text == "NAME           ID \na-long-name    1     \nb              22    \n"


def test_empty_table_is_its_header() -> None:
    assert formats.table(("NAME", "ID"), []) == "NAME    ID \n"


@pytest.mark.parametrize(
    ("total", "vram", "text"),
    [
        (100, 0, "100% CPU"),
        (100, 100, "100% GPU"),
        (100, 75, "25%/75% CPU/GPU"),
        (100, 101, "Unknown"),
    ],
)
def test_processor(total: int, vram: int, text: str) -> None:
    assert processor(total, vram) == text
