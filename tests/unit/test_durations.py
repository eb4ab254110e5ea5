from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.durations import LONGEST, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("10s", 10_000_000_000),
        ("-1m", -60_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1.5h", 5_400_000_000_000),
        (".5s", 500_000_000),
        ("5.s", 5_000_000_000),
        ("3us2ns", 3002),
        ("3µs", 3000),
        ("3μs", 3000),
        ("+250ms", 250_000_000),
    ],
)
def test_parse(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "-", "300", "ten", "5 m", "1h 30m", "s", ".", ".s", "1e3s", "--1s", "9999999999h"]
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (245_001_000_000, "4m5.001s"),
        (18_367_001_000_000, "5h6m7.001s"),
        (-300_000_000_000, "-5m0s"),
    ],
)
def test_format(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text


@given(st.integers(-LONGEST, LONGEST))
def test_round_trip(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@given(st.text(max_size=200))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        value = parse_duration(text)
    except ValueError:
        return
    assert abs(value) <= LONGEST
