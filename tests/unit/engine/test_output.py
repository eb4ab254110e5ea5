from __future__ import annotations

from pyollama.engine.output import AnswerText, Chunk, TokenOutput
from pyollama.types import TokenLogprob


def feed(text: AnswerText, pieces: list[bytes]) -> list[Chunk | None]:
    return [
        text.feed(TokenOutput(token, piece, -0.25)) for token, piece in enumerate(pieces, start=1)
    ]


def test_pieces_of_one_character_come_as_one_chunk() -> None:
    chunks = feed(AnswerText(()), [b"caf\xc3", b"\xa9 ", b"\xf0\x9f", b"\x98\x80", b"!"])
    assert chunks == [
        None,
        Chunk("café ", (1, 2), (TokenLogprob("café ", -0.5, "café ".encode()),)),
        None,
        Chunk("😀", (3, 4), (TokenLogprob("😀", -0.5, "😀".encode()),)),
        Chunk("!", (5,), (TokenLogprob("!", -0.25, b"!"),)),
    ]


def test_tokens_swallowed_by_a_stop_text_have_no_chunk() -> None:
    text = AnswerText([" four"])
    chunks = feed(text, [b" three", b" fo", b"ur"])
    assert [chunk and chunk.text for chunk in chunks] == [" three", None, None]
    assert text.stop == " four" and text.flush() is None


def test_a_token_cut_by_a_stop_text_shows_what_is_left_of_it() -> None:
    text = AnswerText(["ee"])
    (chunk,) = feed(text, [b" three"])
    assert chunk == Chunk(" thr", (1,), (TokenLogprob(" thr", -0.25, b" thr"),))


def test_flush_shows_what_was_held_back_in_vain() -> None:
    text = AnswerText(["##x"])
    assert feed(text, [b"a##", b"\xc3"]) == [None, None]
    chunk = text.flush()
    assert chunk is not None and (chunk.text, chunk.tokens) == ("a##", (1, 2))


def test_bytes_are_the_exact_piece_even_where_the_text_is_not() -> None:
    (chunk,) = feed(AnswerText(()), [b"\xff"])
    assert chunk is not None and chunk.logprobs == (TokenLogprob("�", -0.25, b"\xff"),)


def test_without_logprobs_there_are_none() -> None:
    chunk = AnswerText(()).feed(TokenOutput(7, b"x"))
    assert chunk == Chunk("x", (7,), ())
