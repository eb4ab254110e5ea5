from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyollama.engine.prefix import token_array
from pyollama.engine.tiers.pieces import LEAST, SIZE, Index, cut, root

ROOT = root(b"model")
Tokens = st.lists(st.integers(0, 1), max_size=12)


def index_of(size: int, prefixes: list[list[int]]) -> Index:
    index = Index(size)
    for prefix in prefixes:
        for piece in cut(ROOT, token_array(prefix), size):
            index.add(piece)
    return index


def test_a_prefix_is_cut_into_full_pieces_and_a_rest() -> None:
    tokens = token_array(range(2 * SIZE + LEAST))
    pieces = list(cut(ROOT, tokens, SIZE))
    assert [(piece.start, piece.stop) for piece in pieces] == [
        (0, SIZE),
        (SIZE, 2 * SIZE),
        (2 * SIZE, 2 * SIZE + LEAST),
    ]
    assert [piece.parent for piece in pieces] == [ROOT, pieces[0].key, pieces[1].key]
    assert token_array(t for piece in pieces for t in piece.tokens) == tokens
    assert len(list(cut(ROOT, tokens[:-1], SIZE))) == 2


def test_a_prefix_that_must_stay_whole_is_one_piece() -> None:
    tokens = token_array(range(3 * SIZE))
    assert [len(piece.tokens) for piece in cut(ROOT, tokens, 0)] == [3 * SIZE]
    assert not list(cut(ROOT, tokens[: LEAST - 1], 0))
    assert not list(cut(ROOT, token_array(), 0))


def test_the_key_stands_for_all_that_is_before() -> None:
    ends = []
    for first, before in ((1, ROOT), (2, ROOT), (1, root(b"mod", b"el"))):
        *_, last = cut(before, token_array([first] * 4 + [9] * 4), 4)
        ends.append(last.key)
    assert len(set(ends)) == 3


@given(st.integers(1, 4), st.lists(Tokens, max_size=5), Tokens, st.integers(0, 12))
def test_the_longest_prefix_is_found(
    size: int, held: list[list[int]], prompt: list[int], limit: int
) -> None:
    """As far as the pieces go; shorter rests than a piece are not held in this test."""
    whole = [prefix[: len(prefix) // size * size] for prefix in held]
    hits = index_of(size, held).walk(ROOT, token_array(prompt), limit)
    found = hits[-1].stop if hits else 0
    wanted = prompt[:limit]
    best = max(
        (
            next(
                (n for n, (a, b) in enumerate(zip(prefix, wanted, strict=False)) if a != b),
                min(len(prefix), len(wanted)),
            )
            for prefix in whole
        ),
        default=0,
    )
    assert found == best
    assert [hit.piece.start for hit in hits] == [size * n for n in range(len(hits))]
    assert [t for hit in hits for t in hit.piece.tokens[: hit.count]] == prompt[:found]


@given(st.lists(Tokens, max_size=5), Tokens)
def test_whole_prefixes_are_found_whole(ends: list[list[int]], end: list[int]) -> None:
    held, prompt = [[*[7] * LEAST, *end] for end in ends], [*[7] * LEAST, *end]
    hits = index_of(0, held).walk(ROOT, token_array(prompt), len(prompt))
    fits = [len(prefix) for prefix in held if prompt[: len(prefix)] == prefix]
    assert [hit.stop for hit in hits] == ([max(fits)] if fits else [])


def test_a_longer_piece_makes_a_shorter_one_needless() -> None:
    tokens = token_array(range(2 * SIZE))
    (short,) = cut(ROOT, tokens[:100], SIZE)
    full, _ = cut(ROOT, tokens, SIZE)
    index = Index(SIZE)
    assert not index.covers(short)
    index.add(short)
    assert index.covers(short) and not index.covers(full)
    assert index.shorter(full) == [short]
    index.add(full)
    index.discard(short.key)
    assert index.covers(short) and index.shorter(full) == []


def test_what_hangs_on_a_lost_piece_is_out_of_reach_until_it_is_back() -> None:
    tokens = token_array(range(3 * SIZE))
    pieces = list(cut(ROOT, tokens, SIZE))
    index = Index(SIZE)
    for piece in pieces:
        index.add(piece)
    index.discard(pieces[1].key)
    index.discard(pieces[1].key)
    assert [hit.piece for hit in index.walk(ROOT, tokens, len(tokens))] == pieces[:1]
    index.add(pieces[1])
    assert [hit.piece for hit in index.walk(ROOT, tokens, len(tokens))] == pieces
