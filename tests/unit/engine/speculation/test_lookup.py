"""Drafts out of the text itself."""

from __future__ import annotations

from array import array

import pytest

from pyollama.engine.speculation.acceptance import Acceptance
from pyollama.engine.speculation.lookup import Lookup

CODE = [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]


def lookup_on(prompt: list[int]) -> tuple[Lookup, array[int]]:
    tokens = array("i", prompt)
    return Lookup(tokens, 1000, Acceptance(Acceptance())), tokens


def say(lookup: Lookup, tokens: array[int], answer: list[int]) -> None:
    for token in answer:
        tokens.append(token)
        lookup.advance()


def test_what_followed_the_last_time() -> None:
    lookup, tokens = lookup_on([*CODE, 1, 2])
    say(lookup, tokens, [10, 11])
    assert lookup.match == 2
    assert lookup.draft(4).tolist() == [12, 13, 14, 15]


def test_a_guess_that_came_true_is_followed() -> None:
    lookup, tokens = lookup_on([*CODE, 1, 2])
    say(lookup, tokens, [10, 11, 12, 13])
    assert lookup.match == 4
    assert lookup.draft(2).tolist() == [14, 15]


def test_a_wrong_guess_is_given_up() -> None:
    lookup, tokens = lookup_on([*CODE, 1, 2])
    say(lookup, tokens, [10, 11, 99])
    assert (lookup.match, lookup.draft(4).tolist()) == (0, [])


def test_a_text_that_repeats_itself_is_drafted_past_its_end() -> None:
    lookup, tokens = lookup_on([5, 1, 2, 3])
    say(lookup, tokens, [1, 2])
    assert lookup.draft(8).tolist() == [3, 1, 2, 3, 1, 2, 3, 1]


def test_many_tokens_at_once_are_what_they_are_one_by_one() -> None:
    one, tokens = lookup_on([*CODE, 1, 2, 10, 11])
    one.advance()
    many, others = lookup_on([*CODE, 1, 2, 10, 11])
    many.advance()
    say(one, tokens, [12, 13, 14, 99])
    others.extend([12, 13, 14, 99])
    many.advance()
    for match in range(8):
        assert one.acceptance.chance(match) == many.acceptance.chance(match)
    assert one.draft(5) == many.draft(5)


def test_it_learns_without_drafting() -> None:
    """Whether a guess came true is seen from the next token, whoever computed it."""
    chances = []
    for answer in ([10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 1], [10, 11, 12, 20, 10, 11, 12, 21]):
        lookup, tokens = lookup_on([*CODE, 1])
        say(lookup, tokens, answer * 5)
        chances.append(lookup.acceptance.chance(3))
    assert chances[0] > 0.7
    assert chances[1] < 0.5


def test_behind_a_change_in_the_middle_it_starts_over() -> None:
    lookup, tokens = lookup_on([1, 2, 3, 4, 5, 6, 7, 8])
    say(lookup, tokens, [2, 3])
    assert lookup.draft(1).tolist() == [4]
    del tokens[1:4]
    lookup.advance()
    assert (lookup.match, lookup.draft(1).tolist()) == (0, [])
    say(lookup, tokens, [5, 6])
    assert lookup.draft(2).tolist() == [7, 8]


def test_texts_share_what_they_learned() -> None:
    everybody = Acceptance()
    first = Acceptance(everybody)
    for _ in range(50):
        first.observe(3, hit=True)
    assert Acceptance(everybody).chance(3) > 0.9
    assert Acceptance(everybody).chance(40) == pytest.approx(Acceptance().chance(40))


def test_what_was_long_ago_counts_little() -> None:
    text = Acceptance(Acceptance())
    for _ in range(500):
        text.observe(8, hit=True)
    for _ in range(40):
        text.observe(8, hit=False)
    assert text.chance(8) < 0.35


def test_a_draft_that_came_true_so_far_rests_on_a_longer_match() -> None:
    lookup, tokens = lookup_on([*CODE, 1, 2])
    say(lookup, tokens, [10, 11])
    chance = lookup.acceptance.chance
    assert lookup.chances(4) == [chance(2), chance(3), chance(4), chance(5)]
    say(lookup, tokens, [99])
    assert lookup.chances(4) == []
