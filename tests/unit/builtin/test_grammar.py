"""The grammar the training text is written in."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training.corpus import TEXTS
from training.grammar import another, expand, parse, sentence, with_article

FILES = ("chat", "identity", "world", "words", "jokes")


def _all(template: str, row: dict[str, str] | None = None) -> set[str]:
    return {expand(template, row or {}, random.Random(seed)) for seed in range(200)}


@pytest.mark.parametrize(
    ("template", "texts"),
    [
        ("plain", {"plain"}),
        ("(a|b) c", {"a c", "b c"}),
        ("x(| y)", {"x", "x y"}),
        ("((a|b) c|d)", {"a c", "b c", "d"}),
        ("call `read()` (now|later)", {"call `read()` now", "call `read()` later"}),
        ('the word "?cat"?', {"the word cat", 'the word "cat"'}),
    ],
)
def test_a_template_stands_for_exactly_these_texts(template: str, texts: set[str]) -> None:
    assert _all(template) == texts


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{thing}", "old hat"),
        ("{^thing}", "Old hat"),
        ("{a thing}", "an old hat"),
        ("{^a thing}", "An old hat"),
    ],
)
def test_a_slot_is_filled_from_the_row(template: str, text: str) -> None:
    assert expand(template, {"thing": "old hat"}, random.Random(1)) == text


@pytest.mark.parametrize(
    ("noun", "text"), [("cat", "a cat"), ("owl", "an owl"), ("bread", "bread"), ("sun", "the sun")]
)
def test_articles(noun: str, text: str) -> None:
    assert with_article(noun) == text


def test_sentences_have_a_capital_and_single_blanks() -> None:
    assert sentence("  the   cat ") == "The cat"


def test_a_wrong_answer_is_never_the_right_one() -> None:
    rows = [
        {"word": "a", "color": "red"},
        {"word": "b", "color": "red"},
        {"word": "c", "color": "x"},
    ]
    for seed in range(50):
        row = another(rows, random.Random(seed))
        assert row["color2"] != row["color"]


def test_a_file_of_tables_and_blocks() -> None:
    tables, blocks = parse(
        "# comment\n== pets: kind, call\ncat | meow\ndog | woof\n\n"
        "-- pets *3\n> What says {a kind}?\n< {^a kind} says {call}.\n! {call}.\n\n"
        "-- *1\n> Hi\n< Ho"
    )
    assert tables == {"pets": [{"kind": "cat", "call": "meow"}, {"kind": "dog", "call": "woof"}]}
    assert [block.weight for block in blocks] == [3, 1]
    drawn = {blocks[0].draw(random.Random(seed)) for seed in range(20)}
    assert {(e.prompt, e.reply, e.brief) for e in drawn} == {
        ("What says a cat?", "A cat says meow.", "Meow."),
        ("What says a dog?", "A dog says woof.", "Woof."),
    }


@pytest.mark.parametrize(
    "source", ["== pets: kind, call\ncat", "stray line", "-- nowhere\n> a\n< b"]
)
def test_a_broken_file_is_refused(source: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        parse(source)


@given(st.text(alphabet='ab(|){}^ "?', max_size=40), st.integers())
def test_any_template_without_slots_expands_to_an_end(template: str, seed: int) -> None:
    text = expand(template, {}, random.Random(seed)) if not re.search(r"\w}", template) else ""
    assert len(text) <= len(template)


@pytest.mark.parametrize("name", FILES)
def test_every_block_of_the_text_draws_clean_text(name: str) -> None:
    _, blocks = parse((TEXTS / f"{name}.txt").read_text("utf-8"))
    for block in blocks:
        assert block.prompts and block.replies, block
        for seed in range(30):
            drawn = block.draw(random.Random(seed))
            for text in (drawn.prompt, drawn.reply, drawn.brief):
                assert not re.search(r"[{}|]|\(\)?\||\ba an?\b|\ban a\b|  ", text), text
            assert drawn.reply[-1] in ".!?`)", drawn.reply
