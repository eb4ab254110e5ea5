from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyollama.engine.prefix import token_array
from pyollama.engine.tiers.host import HostTier
from pyollama.engine.tiers.pieces import Piece, cut, root

ROOT = root(b"model")
Chain = st.lists(st.integers(0, 2), min_size=1, max_size=6)


def chain(*tokens: int) -> list[Piece]:
    """One piece for each token."""
    return list(cut(ROOT, token_array(tokens), 1))


def put(tier: HostTier, pieces: list[Piece], size: int = 10) -> list[Piece]:
    gone: list[Piece] = []
    for piece in pieces:
        gone += tier.put(piece, bytes(size))
        if piece.key not in tier:
            break
    return gone


def test_the_one_unused_for_longest_goes_first() -> None:
    tier = HostTier(30)
    (a,), (b,), (c,), (d,) = chain(0), chain(1), chain(2), chain(3)
    assert put(tier, [a, b, c]) == []
    tier.touch(a.key)
    assert put(tier, [d]) == [b]
    assert list(tier) == [d, a, c]
    assert tier.used == 30


def test_the_end_of_a_prefix_goes_before_its_beginning() -> None:
    tier = HostTier(30)
    old = chain(1, 2, 3)
    put(tier, old)
    new = chain(4, 5)
    assert put(tier, new) == [old[2], old[1]]
    assert list(tier) == [*reversed(new), old[0]]


def test_of_a_prefix_too_long_the_beginning_stays() -> None:
    tier = HostTier(30)
    pieces = chain(1, 2, 3, 4, 5)
    assert put(tier, pieces) == [pieces[3]]
    assert set(tier) == set(pieces[:3])


def test_what_takes_less_room_for_the_same_work_stays() -> None:
    tier = HostTier(100)
    (large,), (small,), (new,) = chain(1), chain(2), chain(3)
    tier.put(small, bytes(10))
    tier.put(large, bytes(80))
    assert tier.put(new, bytes(20)) == [large]


def test_what_is_pinned_stays() -> None:
    tier = HostTier(30)
    (a,), (b,), (c,), (d,) = chain(0), chain(1), chain(2), chain(3)
    put(tier, [a, b, c])
    tier.pinned = frozenset({a.key, b.key, c.key})
    assert put(tier, [d]) == [d]
    tier.pinned = frozenset({a.key})
    assert put(tier, [d]) == [b]
    tier.pinned = frozenset()
    assert put(tier, [b]) == [a]


def test_what_can_never_fit_drives_nothing_out() -> None:
    tier = HostTier(30)
    kept, (huge,) = chain(1, 2), chain(9)
    put(tier, kept)
    assert tier.put(huge, bytes(31)) == [huge]
    assert set(tier) == set(kept)
    assert HostTier(0).put(huge, b"x") == [huge]


@given(st.integers(0, 60), st.lists(st.tuples(Chain, st.integers(1, 20), st.booleans())))
def test_books_are_in_order(budget: int, uses: list[tuple[list[int], int, bool]]) -> None:
    tier = HostTier(budget)
    held: dict[bytes, tuple[Piece, int]] = {}
    for tokens, size, discard in uses:
        for piece in chain(*tokens):
            held.setdefault(piece.key, (piece, size))
            for gone in tier.put(piece, bytes(held[piece.key][1])):
                del held[gone.key]
            if piece.key not in held:
                break
        if discard and tier.peek(piece.key) is not None:
            tier.discard(piece.key)
            del held[piece.key]
        assert {piece.key for piece in tier} == held.keys()
        assert tier.used == sum(size for _, size in held.values()) <= budget
        assert all(
            piece.key in tier and tier.peek(piece.key) == bytes(n) for piece, n in held.values()
        )


@given(st.lists(Chain, min_size=1))
def test_nothing_that_is_kept_is_out_of_reach(uses: list[list[int]]) -> None:
    tier = HostTier(50)
    for tokens in uses:
        put(tier, chain(*tokens))
        keys = {piece.key for piece in tier}
        assert all(piece.parent in keys | {ROOT} for piece in tier)


def test_uses_do_not_pile_up() -> None:
    tier = HostTier(30)
    pieces = chain(1, 2)
    put(tier, pieces)
    for _ in range(1000):
        tier.touch(pieces[-1].key)
    assert len(tier._leaves) < 100
