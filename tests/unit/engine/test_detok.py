from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.engine.detok import Detokenizer


def detokenize(pieces: list[bytes]) -> list[str]:
    detok = Detokenizer()
    return [*map(detok.feed, pieces), detok.flush()]


def test_every_cut_gives_the_same_text() -> None:
    text = "café 😀 日本 👩‍👩‍👧"
    raw = text.encode()
    for cut in range(len(raw) + 1):
        assert "".join(detokenize([raw[:cut], raw[cut:]])) == text


@given(st.text(), st.lists(st.integers(0, 60)))
def test_any_cuts_give_the_same_text(text: str, cuts: list[int]) -> None:
    raw = text.encode()
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[a:b] for a, b in pairwise(edges)]
    assert "".join(detokenize(pieces)) == text


def test_a_piece_waits_as_a_whole() -> None:
    assert detokenize([b"caf\xc3", b"\xa9 ", b"\xf0\x9f", b"\x98\x80"]) == [
        "",
        "café ",
        "",
        "😀",
        "",
    ]


def test_a_character_that_is_never_completed_is_dropped() -> None:
    assert detokenize([b"caf\xc3"]) == ["", "caf"]


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3(", b"\x80", b"\xed\xa0\x80", b"\xc0\xaf"])
def test_impossible_bytes_are_replaced_and_do_not_stick(bad: bytes) -> None:
    text = "".join(detokenize([b"a", bad, b"b"]))
    assert text.startswith("a") and text.endswith("b") and "�" in text


@given(st.lists(st.binary()))
def test_any_bytes_give_text(pieces: list[bytes]) -> None:
    "".join(detokenize(pieces)).encode()
