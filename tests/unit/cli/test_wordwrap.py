from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pyollama.cli.wordwrap import WordWrap

_BACK = re.compile(r"\x1b\[(\d+)D\x1b\[K\n")


def screen(written: str) -> list[str]:
    """The lines a terminal shows, with every step back over a word carried out."""
    lines = [""]
    position = 0
    while position < len(written):
        if back := _BACK.match(written, position):
            keep = cell_len(lines[-1]) - int(back[1])
            while cell_len(lines[-1]) > keep:
                lines[-1] = lines[-1][:-1]
            lines.append("")
            position = back.end()
        elif written[position] == "\n":
            lines.append("")
            position += 1
        else:
            lines[-1] += written[position]
            position += 1
    return lines


def test_moves_the_word_that_does_not_fit() -> None:
    wrapped = WordWrap(20).feed("one two three four five")
    assert screen(wrapped) == ["one two three ", "four five"]


def test_breaks_a_word_longer_than_a_line() -> None:
    assert screen(WordWrap(15).feed("x" * 12)) == ["x" * 10, "xx"]


def test_wide_characters_may_be_parted() -> None:
    assert screen(WordWrap(15).feed("日本語日本語")) == ["日本語日本", "語"]


@given(st.text(st.sampled_from("ab 日é\n"), max_size=80), st.integers(11, 40))
def test_loses_nothing_and_keeps_the_width(text: str, width: int) -> None:
    lines = screen(WordWrap(width).feed(text))
    assert "".join(lines) == text.replace("\n", "")
    assert all(cell_len(line.rstrip(" ")) <= width for line in lines)


@given(st.text(st.sampled_from("ab 日\n"), max_size=60), st.data())
def test_pieces_make_no_difference(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    wrap = WordWrap(20)
    assert wrap.feed(text[:cut]) + wrap.feed(text[cut:]) == WordWrap(20).feed(text)


@pytest.mark.parametrize("width", [1, 5, 10])
def test_tiny_terminals_do_not_hang(width: int) -> None:
    assert "".join(screen(WordWrap(width).feed("hello world"))) == "hello world"
