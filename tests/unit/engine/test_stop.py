from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.engine.stop import StopFilter


def run(stops: list[str], pieces: list[str]) -> tuple[str, str | None]:
    stop = StopFilter(stops)
    text = ""
    for piece in pieces:
        text += stop.feed(piece)
        if stop.matched is not None:
            return text, stop.matched
    return text + stop.flush(), stop.matched


@pytest.mark.parametrize(
    ("stops", "text", "shown", "matched"),
    [
        (["STOP"], "one STOP two", "one ", "STOP"),
        (["STOP"], "one STO", "one STO", None),
        (["###"], "a##b###c", "a##b", "###"),
        (["aab"], "aaab", "a", "aab"),
        (["b", "ab"], "xab", "x", "ab"),
        (["abc", "b"], "abc", "a", "b"),
        (["end", "STOP"], "one STOP end", "one ", "STOP"),
        (["日本"], "in 日本語", "in ", "日本"),
        ([], "anything", "anything", None),
    ],
)
def test_every_cut_gives_the_same_answer(
    stops: list[str], text: str, shown: str, matched: str | None
) -> None:
    assert run(stops, list(text)) == (shown, matched)
    for i in range(len(text) + 1):
        for j in range(i, len(text) + 1):
            assert run(stops, [text[:i], text[i:j], text[j:]]) == (shown, matched)


@given(
    st.lists(st.text("ab#", min_size=1, max_size=4), max_size=4),
    st.text("ab#", max_size=20),
    st.lists(st.integers(0, 20)),
)
def test_the_answer_does_not_depend_on_the_cuts(
    stops: list[str], text: str, cuts: list[int]
) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]
    shown, matched = run(stops, pieces)
    assert (shown, matched) == run(stops, list(text))
    if matched is None:
        assert shown == text and not any(stop in text for stop in stops)
    else:
        assert text.startswith(shown + matched)
        assert not any(stop in shown for stop in stops)


def test_what_may_become_a_stop_is_held_back_as_a_whole() -> None:
    stop = StopFilter(["ee four"])
    fed = [stop.feed(piece) for piece in ("one", " two", " three", " four")]
    assert fed == ["", "one two", "", " thr"]
    assert stop.feed("more") == "" and stop.flush() == ""


def test_an_empty_stop_ends_the_answer_at_once() -> None:
    assert run(["x", ""], ["Hello"]) == ("", "")
