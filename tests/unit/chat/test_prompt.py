from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.chat.interface import Prompt, Turn
from pyollama.chat.parsers import PassthroughParser
from pyollama.chat.prompt import check_length, fit_history, fit_tokens, prompt_tokens
from pyollama.errors import ContextLengthExceeded
from pyollama.types import Message, Truncated


class _Words:
    """One token per word; token 0 begins a text."""

    bos = 0

    def __init__(self, add_bos: bool = True) -> None:
        self.add_bos = add_bos
        self.texts: list[str] = []

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        self.texts.append(text)
        return [0] * (add_special and self.add_bos) + [len(word) for word in text.split()]

    def token_text(self, token: int) -> str:
        return "<s>"


def _render(turn: Turn) -> Prompt:
    text = " ".join(f"{message.role}: {message.content}" for message in turn.messages)
    images = tuple(image for message in turn.messages for image in message.images)
    return Prompt(text, PassthroughParser(), images=images)


def _turn(*contents: str) -> Turn:
    messages = [Message("system" if c.startswith("S") else "user", c) for c in contents]
    return Turn(tuple(messages))


def _fit(turn: Turn, n_ctx: int) -> tuple[str, Truncated | None]:
    fitted = fit_history(_render, turn, _Words(), n_ctx)
    return fitted.prompt.text, fitted.truncated


def test_what_fits_is_left_alone() -> None:
    tokenizer = _Words()
    fitted = fit_history(_render, _turn("S", "a", "b"), tokenizer, 6)
    assert fitted.prompt.text == "system: S user: a user: b"
    assert fitted.truncated is None
    assert len(tokenizer.texts) == 1


def test_the_oldest_go_and_system_messages_stay() -> None:
    assert _fit(_turn("S", "a", "b", "S2", "c", "d"), 8) == (
        "system: S system: S2 user: c user: d",
        Truncated(dropped=4, kept=8),
    )


def test_the_last_message_stays() -> None:
    text, truncated = _fit(_turn("S", "a", "b c d e f g"), 3)
    assert text == "system: S user: b c d e f g"
    assert truncated == Truncated(2, 9)
    assert _fit(_turn("a b c"), 1) == ("user: a b c", None)
    assert _fit(Turn(()), 1) == ("", None)


def test_what_is_left_of_the_conversation() -> None:
    fitted = fit_history(_render, _turn("S", "a", "b", "c"), _Words(), 4)
    assert [m.content for m in fitted.turn.messages] == ["S", "c"]


def test_few_renderings() -> None:
    tokenizer = _Words()
    fit_history(_render, _turn(*map(str, range(1000))), tokenizer, 50)
    assert len(tokenizer.texts) <= 13


def test_images_cost() -> None:
    turn = Turn((Message("user", "a", images=(b"1",)), Message("user", "b")))
    assert fit_history(_render, turn, _Words(), 700).prompt.text == "user: b"
    assert fit_history(_render, turn, _Words(), 772).truncated is None


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 60))
def test_as_little_goes_as_must(sizes: list[int], n_ctx: int) -> None:
    turn = _turn(*(" ".join("x" * size) for size in sizes))
    text, truncated = _fit(turn, n_ctx)
    costs = [size + 1 for size in sizes]
    expected = next((i for i in range(len(costs)) if sum(costs[i:]) <= n_ctx), len(costs) - 1)
    assert len(text.split()) == sum(costs[expected:])
    assert (truncated is None) == (expected == 0)


@pytest.mark.parametrize("text", ["<s>a b", "<bos>a b", "<|begin_of_text|>a b", "a b"])
def test_one_beginning(text: str) -> None:
    assert prompt_tokens(text, _Words()) == [0, 1, 1]


def test_no_beginning_is_added_or_dropped_where_none_is_wanted() -> None:
    assert prompt_tokens("<s>a b", _Words(add_bos=False)) == [4, 1]


@pytest.mark.parametrize(
    ("n_keep", "add_bos", "kept"),
    [(4, True, 131), (20, True, 139), (0, False, 128), (-1, True, 255)],
)
def test_a_piece_is_cut_out_of_the_middle(n_keep: int, add_bos: bool, kept: int) -> None:
    tokens = list(range(420))
    cut, truncated = fit_tokens(tokens, 256, n_keep=n_keep, add_bos=add_bos, shift=True)
    keep = min(420 if n_keep < 0 else n_keep + add_bos, 255)
    assert len(cut) == kept
    assert truncated == Truncated(420 - kept, kept)
    assert cut == tokens[:keep] + (tokens[-(kept - keep) :] if kept > keep else [])


def test_tokens_that_fit() -> None:
    assert fit_tokens([1, 2, 3], 4, n_keep=4, add_bos=True, shift=False) == ([1, 2, 3], None)
    with pytest.raises(ContextLengthExceeded, match="longer than the context") as caught:
        fit_tokens([1, 2, 3], 3, n_keep=4, add_bos=True, shift=False)
    assert caught.value.details == {"prompt_tokens": 3, "context_length": 3}


def test_no_room_for_an_answer() -> None:
    check_length([1, 2], 3)
    with pytest.raises(ContextLengthExceeded, match=r"request \(3 tokens\) exceeds"):
        check_length([1, 2, 3], 3)
