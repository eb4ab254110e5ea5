"""Pauses between attempts, and the rate of a transfer."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.store.registry.limiter import Limiter
from pyollama.store.registry.patience import Patience, is_passing, retry_after


@given(st.integers(1, 10_000), st.floats(0, 1e12))
def test_pauses_are_bounded(failures: int, asked: float) -> None:
    assert 0 < Patience().pause(failures, asked) <= 300


def test_pauses_double_and_respect_what_is_asked() -> None:
    patience = Patience(first=1.0, longest=60.0)
    for failures in range(1, 6):
        assert 0.75 * 2 ** (failures - 1) <= patience.pause(failures) <= 1.25 * 2 ** (failures - 1)
    assert patience.pause(1, asked=17.0) == 17.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0),
        ("120", 120),
        ("-5", 0),
        ("soon", 0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 99 Jan 9999 00:00:00 GMT", 0),
        ("9" * 1000, float("9" * 64)),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    assert retry_after(httpx.Response(429, headers={"retry-after": value}), now=100) == seconds


def test_which_answers_may_pass() -> None:
    assert [
        status for status in (200, 400, 401, 404, 408, 429, 500, 503, 599) if is_passing(status)
    ] == [
        408,
        429,
        500,
        503,
        599,
    ]


def test_a_limit_makes_later_takers_wait_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    limiter = Limiter(1000)
    assert [limiter.take(500) for _ in range(3)] == [0.5, 1.0, 1.5]
    now = 101.0
    assert limiter.take(500) == 1.0
    now = 200.0  # of the time that was not used, half a second is made up for
    assert [limiter.take(500) for _ in range(3)] == [0.0, 0.5, 1.0]


def test_without_a_limit_nobody_waits() -> None:
    assert Limiter(0).take(1 << 40) == 0
