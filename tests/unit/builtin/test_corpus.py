"""The generators of the training text."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from training import memory, numbers, tasks, unknown
from training.corpus import HELD_OUT_EVERY, TEXTS, Corpus, is_held_out
from training.stories import BOYS, GIRLS, Poems, Stories


def _exchanges(corpus: Corpus, count: int) -> list[tuple[str, str]]:
    found = []
    for _ in range(count):
        turns = [turn for turn in corpus.conversation() if turn.role != "system"]
        found += [
            (ask.text, answer.text) for ask, answer in zip(turns[::2], turns[1::2], strict=True)
        ]
    return found


def test_the_same_seed_gives_the_same_text() -> None:
    first, second = Corpus(5), Corpus(5)
    assert [first.conversation() for _ in range(50)] == [second.conversation() for _ in range(50)]
    assert Corpus(6).conversation() != Corpus(5).conversation()


def test_turns_alternate_and_are_not_empty() -> None:
    corpus = Corpus(1)
    for _ in range(500):
        turns = corpus.conversation()
        roles = [turn.role for turn in turns]
        if roles[0] == "system":
            roles = roles[1:]
        assert roles == ["user", "assistant"] * (len(roles) // 2) and roles
        assert all(turn.text.strip() for turn in turns)
        assert not any(re.search(r"\{\w+\}|\|", turn.text) for turn in turns)


@pytest.mark.parametrize(("held_out", "count"), [(False, 400), (True, 200)])
def test_what_is_held_out_is_never_drawn_for_training(held_out: bool, count: int) -> None:
    # Stories, because nothing mistypes or rewords what was drawn, but for the pirate.
    stories = [
        f"{ask} {answer}"
        for ask, answer in _exchanges(Corpus(1, held_out=held_out), count)
        if len(answer) > 300 and not answer.startswith("Arr")
    ]
    assert stories
    assert {is_held_out(story) for story in stories} == {held_out}


def test_the_split_ignores_capitals_and_punctuation_and_has_its_share() -> None:
    assert is_held_out("What is it?") == is_held_out("what is it")
    share = sum(is_held_out(f"text {number}") for number in range(8000)) * HELD_OUT_EVERY / 8000
    assert 0.7 < share < 1.3


def test_sums_are_right() -> None:
    signs = {"plus": int.__add__, "minus": int.__sub__, "times": int.__mul__}
    seen: Counter[str] = Counter()
    for seed in range(2000):
        reply = numbers.draw(random.Random(seed)).reply
        if found := re.fullmatch(r"(\d+) (plus|minus|times) (\d+) is (\d+)\.", reply):
            assert signs[found[2]](int(found[1]), int(found[3])) == int(found[4])
            seen[found[2]] += 1
    assert min(seen[word] for word in signs) > 50


def test_an_answer_is_found_in_what_was_read() -> None:
    for seed in range(500):
        drawn = tasks.draw(random.Random(seed))
        if found := re.search(r"(\w+) has (?:a|an) (\w+) (\w+)\. .*Who has the \3\?", drawn.prompt):
            assert drawn.reply == f"{found[1]} has the {found[3]}."


def test_what_is_asked_for_was_told_before() -> None:
    for seed in range(200):
        for told, asked in memory.remembered(random.Random(seed)):
            told_words = set(re.findall(r"\w+", told.prompt.lower()))
            answer = set(re.findall(r"\w+", asked.reply.lower()))
            assert answer - told_words <= set("your you name is named are years old live in "
                                              "favorite color like".split())  # fmt: skip


def test_the_unknown_is_declined() -> None:
    for seed in range(300):
        drawn = unknown.draw(random.Random(seed))
        assert "not" in drawn.reply and drawn.prompt


def test_a_story_among_girls_has_no_he_and_among_boys_no_she() -> None:
    stories = Stories((TEXTS / "stories.txt").read_text("utf-8"))
    seen: Counter[str] = Counter()
    for seed in range(400):
        story = stories.draw(random.Random(seed)).reply
        assert "{" not in story and story[-1] in '."'
        names = set(re.findall(r"\b[A-Z][a-z]+\b", story)) & {*GIRLS, *BOYS}
        if "old man" in story or "old woman" in story:
            continue
        if names <= set(GIRLS):
            seen["girls"] += 1
            assert not re.search(r"\b(he|him|his)\b", story, re.IGNORECASE), story
        elif names <= set(BOYS):
            seen["boys"] += 1
            assert not re.search(r"\b(she|her)\b", story, re.IGNORECASE), story
    assert min(seen.values()) > 20


def test_poems_rhyme_on_four_lines() -> None:
    poems = Poems((TEXTS / "poems.txt").read_text("utf-8"))
    for seed in range(100):
        assert poems.draw(random.Random(seed)).reply.count("\n") == 3
