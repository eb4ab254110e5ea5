from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from pyollama.engine.prefix import common_prefix, token_array
from pyollama.engine.radix import RadixTree

texts = st.lists(st.integers(0, 2), max_size=8).map(token_array)


def tree_of(*sequences: list[int]) -> RadixTree[int]:
    tree: RadixTree[int] = RadixTree()
    for key, tokens in enumerate(sequences):
        tree.insert(key, token_array(tokens))
    return tree


def test_the_longest_prefix_and_all_that_hold_it() -> None:
    tree = tree_of([1, 2, 3, 4], [1, 2, 5], [1, 2])
    length, keys = tree.longest(token_array([1, 2, 3, 9]), 10)
    assert (length, list(keys)) == (3, [0])
    length, keys = tree.longest(token_array([1, 2, 9]), 10)
    found = list(keys)
    assert (length, found[0], sorted(found)) == (2, 2, [0, 1, 2])
    length, keys = tree.longest(token_array([1, 2, 3, 4]), 1)
    assert (length, sorted(keys)) == (1, [0, 1, 2])
    length, keys = tree.longest(token_array([7]), 1)
    assert (length, list(keys)) == (0, [])


def test_where_a_prompt_leaves_what_is_held() -> None:
    tree = tree_of([1, 2, 3, 4], [1, 2, 5, 6])
    assert tree.divergence(token_array([1, 2, 3, 9])) == (3, 4)
    assert tree.divergence(token_array([1, 2, 5, 6, 7])) == (4, None)
    assert tree.divergence(token_array([1, 2, 3])) == (3, None)
    length, instead = tree.divergence(token_array([1, 2, 9]))
    assert length == 2 and instead in (3, 5)


def test_a_key_is_there_once() -> None:
    tree = tree_of([1])
    with pytest.raises(KeyError, match="there already"):
        tree.insert(0, token_array([2]))


def test_a_long_sequence_that_nobody_shares_grows_in_one_piece() -> None:
    tree = tree_of([1])
    for token in range(1000):
        tree.extend(0, token_array([token]))
    assert list(tree.tokens(0)) == [1, *range(1000)]
    assert len(list(tree._path(tree.tokens(0), 2000))) == 1


def test_following_another_sequence_leaves_no_pieces_behind() -> None:
    tree = tree_of([5], list(range(5, 500)))
    for token in range(6, 500):
        tree.extend(0, token_array([token]))
    tree.remove(0)
    assert len(list(tree._path(tree.tokens(1), 2000))) == 1


class AgainstLists(RuleBasedStateMachine):
    """The tree says what a list of all sequences would say."""

    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.tree: RadixTree[int] = RadixTree()
        self.naive: dict[int, array[int]] = {}
        self.count = 0

    @rule(target=keys, tokens=texts)
    def insert(self, tokens: array[int]) -> int:
        self.count += 1
        self.tree.insert(self.count, tokens)
        self.naive[self.count] = tokens[:]
        return self.count

    @rule(key=keys, tokens=texts)
    def extend(self, key: int, tokens: array[int]) -> None:
        if key in self.naive:
            self.tree.extend(key, tokens)
            self.naive[key] += tokens

    @rule(key=keys, length=st.integers(0, 9))
    def truncate(self, key: int, length: int) -> None:
        if key in self.naive:
            self.tree.truncate(key, length)
            del self.naive[key][length:]

    @rule(key=keys)
    def remove(self, key: int) -> None:
        if self.naive.pop(key, None) is not None:
            self.tree.remove(key)

    @rule(tokens=texts, limit=st.integers(0, 9))
    def ask(self, tokens: array[int], limit: int) -> None:
        shared = {key: common_prefix(held, tokens, limit) for key, held in self.naive.items()}
        longest = max(shared.values(), default=0)
        length, keys = self.tree.longest(tokens, limit)
        holders = {key for key in shared if shared[key] == longest} if longest else set()
        assert (length, set(keys)) == (longest, holders)

        whole = {
            (len(self.naive[key]), key) for key in shared if shared[key] == len(self.naive[key])
        }
        assert set(self.tree.wholes(tokens, limit)) == {item for item in whole if item[0]}

        at, instead = self.tree.divergence(tokens)
        assert at == max(
            (common_prefix(held, tokens, 99) for held in self.naive.values()), default=0
        )
        others = {
            held[at]
            for held in self.naive.values()
            if len(held) > at and held[:at] == tokens[:at] and at < len(tokens)
        }
        assert instead in others if others else instead is None

    @invariant()
    def holds_the_same(self) -> None:
        tree, naive = self.tree, self.naive
        assert len(tree) == len(naive)
        prefixes: dict[tuple[int, ...], set[int]] = {}
        for key, held in naive.items():
            assert tree.tokens(key) == held and tree.length(key) == len(held)
            for length in range(1, len(held) + 1):
                prefixes.setdefault(tuple(held[:length]), set()).add(key)
        assert tree.distinct == len(prefixes)
        for key, held in naive.items():
            mine = [tuple(held[:length]) for length in range(1, len(held) + 1)]
            assert tree.alone(key) == sum(prefixes[each] == {key} for each in mine)
            ends = [
                len(other)
                for name, other in naive.items()
                if name != key and other == held[: len(other)]
            ]
            assert tree.behind_others(key) == len(held) - max(ends, default=0)


TestAgainstLists = AgainstLists.TestCase
TestAgainstLists.settings = settings(max_examples=40, stateful_step_count=30)


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)), st.integers(-1, 10))
def test_common_prefix(a: list[int], b: list[int], limit: int) -> None:
    expected = 0
    while expected < min(len(a), len(b), limit) and a[expected] == b[expected]:
        expected += 1
    assert common_prefix(token_array(a), token_array(b), limit) == expected
    assert common_prefix(token_array(a), token_array([9, *b]), limit, offset=1) == expected
