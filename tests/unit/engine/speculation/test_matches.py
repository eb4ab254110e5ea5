"""The match finder against a search through everything."""

from __future__ import annotations

import itertools
from array import array

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pyollama.engine.speculation import matches
from pyollama.engine.speculation.matches import MatchFinder


def longest(tokens: list[int]) -> tuple[int, int]:
    """Position behind the longest earlier occurrence of the end, the latest among equals."""
    best = (0, 0)
    for position in range(1, len(tokens)):
        length = 0
        while (
            length < min(position, matches.LONGEST)
            and tokens[position - 1 - length] == tokens[-1 - length]
        ):
            length += 1
        if length >= matches.MIN_MATCH and length >= best[1]:
            best = (position, length)
    return best


def found(parts: list[list[int]], capacity: int = 1000) -> tuple[int, int]:
    finder, tokens = MatchFinder(capacity), array("i")
    for part in parts:
        tokens.extend(part)
        finder.extend(tokens)
    return finder.find(tokens)


@given(st.lists(st.lists(st.integers(0, 9), max_size=9), max_size=6))
def test_the_latest_of_the_longest_matches(parts: list[list[int]]) -> None:
    tokens = [token for part in parts for token in part]
    # Every pair occurs less often than places are looked at, or the search may miss the best.
    pairs = list(itertools.pairwise(tokens))
    if all(pairs.count(pair) <= matches.DEPTH for pair in pairs):
        assert found(parts) == longest(tokens)


@given(st.integers(0, 9), st.sampled_from([4, 50, 150_000]), st.integers(0, 300))
def test_in_bulk_as_one_by_one(seed: int, n_vocab: int, cut: int) -> None:
    text = np.random.default_rng(seed).integers(0, n_vocab, 300).tolist()
    text += text[cut : cut + 5]
    assert found([text]) == found([[token] for token in text])
    assert found([text[:cut], text[cut:]]) == found([text])


def test_nothing_is_found_behind_the_window() -> None:
    phrase = [7, 8, 9]
    for gap, length in ((100, 3), (400, 0)):
        text = [*phrase, *range(1000, 1000 + gap), *phrase]
        assert found([text], capacity=256)[1] == length
        assert found([[token] for token in text], capacity=256)[1] == length


def test_memory_does_not_grow_with_the_text() -> None:
    finder, tokens = MatchFinder(10**9), array("i")
    assert len(finder._chain) <= matches.WINDOW
    for start in range(0, 5 * matches.WINDOW, matches.WINDOW // 2):
        tokens.extend(range(start, start + matches.WINDOW // 2))
        finder.extend(tokens)
    tokens.extend(tokens[-50:-40])
    assert finder.find(tokens) == (len(tokens) - 50, 10)


def test_short_texts_have_no_matches() -> None:
    for text in ([], [1], [1, 1], [1, 2, 3]):
        assert found([text]) == (0, 0)
