from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.chat.introspect import Tags
from pyollama.chat.thinking import ThinkingParser
from pyollama.types import Delta

from .conftest import ReadAll

_TAGS = Tags("<think>", "</think>")


@pytest.mark.parametrize(
    ("text", "thinking", "content"),
    [
        ("<think>\nLet me see.\n</think>\n\nForty-two.", "Let me see.\n", "Forty-two."),
        ("  \n<think>a</think>b", "a", "b"),
        ("Plain answer.", "", "Plain answer."),
        ("  Plain", "", "  Plain"),
        ("Still thinking</think>Done", "", "Still thinking</think>Done"),
        ("<think>Hmm, wait", "Hmm, wait", ""),
        ("<think>Hmm</thi", "Hmm</thi", ""),
        ("<thin", "", "<thin"),
        ("<think>", "", ""),
        ("<think>a</think>", "a", ""),
        ("<think>a</think>b</think>c<think>", "a", "b</think>c<think>"),
        ("x<think>a</think>", "", "x<think>a</think>"),
        ("", "", ""),
    ],
)
def test_answers(text: str, thinking: str, content: str, read_all: ReadAll) -> None:
    assert read_all(lambda: ThinkingParser(_TAGS), text) == Delta(
        content=content, thinking=thinking
    )


def test_a_prompt_that_opened_the_thinking(read_all: ReadAll) -> None:
    read = read_all(lambda: ThinkingParser(_TAGS, inside=True), "\nStill here</think>\nDone.")
    assert read == Delta(content="Done.", thinking="Still here")


def test_what_is_certain_is_passed_on_at_once() -> None:
    parser = ThinkingParser(_TAGS)
    assert parser.feed("<think>") == Delta()
    assert parser.feed("a b") == Delta(thinking="a b")
    assert parser.feed(" c</") == Delta(thinking=" c")
    assert parser.feed("b") == Delta(thinking="</b")
    assert parser.feed("</think>x") == Delta(content="x")
    assert parser.feed(" </think>") == Delta(content=" </think>")


@given(st.lists(st.sampled_from(["<think>", "</think>", "<th", "ink>", " ", "\n", "a", "</"])))
def test_any_answer(pieces: list[str]) -> None:
    parser = ThinkingParser(_TAGS)
    deltas = [*map(parser.feed, pieces), parser.flush()]
    whole = ThinkingParser(_TAGS)
    once = [whole.feed("".join(pieces)), whole.flush()]
    for field in ("content", "thinking"):
        assert "".join(getattr(d, field) for d in deltas) == "".join(
            getattr(d, field) for d in once
        )
