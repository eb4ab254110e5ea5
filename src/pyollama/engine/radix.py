"""A radix tree over token ids: which of many held sequences has the longest prefix of a prompt.

Every edge is a run of tokens, and what several sequences have in common is there once. A sequence
is known by a key of the caller's. Nothing here knows of KV caches, so the same tree serves whatever
holds prefixes: cells, host memory, files.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from pyollama.engine.prefix import common_prefix, token_array

K = TypeVar("K", bound=Hashable)


class _Node(Generic[K]):
    """``tokens`` lead here from the parent.

    ``ends`` are the keys whose sequences end here, ``count`` is how many end here or below.
    """

    __slots__ = ("children", "count", "ends", "parent", "tokens")

    def __init__(self, parent: _Node[K] | None, tokens: array[int], count: int) -> None:
        self.parent = parent
        self.tokens = tokens
        self.count = count
        self.children: dict[int, _Node[K]] = {}
        self.ends: set[K] = set()

    def keys(self) -> Iterator[K]:
        """All that end here or below, those that end here first."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield from node.ends
            waiting += node.children.values()


class RadixTree(Generic[K]):
    """The sequences of all keys.

    Finding, adding and removing one costs what its length costs; another token at the end of a
    sequence that nobody shares costs the same however long it is.
    """

    def __init__(self) -> None:
        self._root: _Node[K] = _Node(None, token_array(), 0)
        self._ends: dict[K, _Node[K]] = {}
        self._lengths: dict[K, int] = {}
        self._distinct = 0

    def __len__(self) -> int:
        return len(self._ends)

    def __contains__(self, key: K) -> bool:
        return key in self._ends

    @property
    def distinct(self) -> int:
        """Tokens held, each common prefix counted once."""
        return self._distinct

    def length(self, key: K) -> int:
        """How many tokens ``key`` has; 0 if it is not there."""
        return self._lengths.get(key, 0)

    def insert(self, key: K, tokens: array[int]) -> None:
        """Add ``key``, which must be new, with ``tokens``."""
        if key in self._ends:
            raise KeyError(f"{key!r} is there already")
        self._root.count += 1
        self._settle(key, self._descend(self._root, tokens))
        self._lengths[key] = len(tokens)

    def extend(self, key: K, tokens: array[int]) -> None:
        """``tokens`` follow behind what ``key`` has."""
        node = self._ends[key]
        self._lengths[key] += len(tokens)
        if node.count == 1 and not node.children and node is not self._root:
            node.tokens.extend(tokens)
            self._distinct += len(tokens)
            return
        node.ends.discard(key)
        self._settle(key, self._descend(node, tokens))
        self._merge(node)

    def truncate(self, key: K, length: int) -> None:
        """Keep only the first ``length`` tokens of ``key``."""
        if length < self._lengths[key]:
            kept = self.tokens(key)[:length]
            self.remove(key)
            self.insert(key, kept)

    def remove(self, key: K) -> None:
        node = self._ends.pop(key)
        del self._lengths[key]
        node.ends.discard(key)
        above: _Node[K] | None = node
        while above is not None:
            above.count -= 1
            above = above.parent
        while node.count == 0 and node.parent is not None:
            self._distinct -= len(node.tokens)
            del node.parent.children[node.tokens[0]]
            node = node.parent
        self._merge(node)

    def tokens(self, key: K) -> array[int]:
        """A copy of the whole sequence of ``key``."""
        parts = []
        node: _Node[K] | None = self._ends[key]
        while node is not None:
            parts.append(node.tokens)
            node = node.parent
        whole = token_array()
        for part in reversed(parts):
            whole.extend(part)
        return whole

    # --- questions --------------------------------------------------------------------------------

    def longest(self, tokens: array[int], limit: int) -> tuple[int, Iterator[K]]:
        """Length of the longest prefix of ``tokens[:limit]`` that is held, and all that hold it.

        Keys that hold nothing else come first. Nothing in common is length 0 without keys.
        """
        length, node = 0, self._root
        for length, node in self._path(tokens, limit):  # noqa: B007 - the last one is wanted
            pass
        return length, node.keys() if length else iter(())

    def wholes(self, tokens: array[int], limit: int) -> list[tuple[int, K]]:
        """Keys whose sequence is a prefix of ``tokens[:limit]`` as a whole: (length, key).

        The longest come last.
        """
        found = []
        before = 0
        for length, node in self._path(tokens, limit):
            if length - before == len(node.tokens):
                found += [(length, key) for key in node.ends]
            before = length
        return found

    def divergence(self, tokens: array[int]) -> tuple[int, int | None]:
        """How much of ``tokens`` is held, and what is held in the place of the token that follows.

        ``None`` where all of ``tokens`` is held or what is held ends there too.
        """
        at = inside = 0
        node = self._root
        for length, found in self._path(tokens, len(tokens)):
            at, inside, node = length, length - at, found
        if at == len(tokens):
            return at, None
        if inside < len(node.tokens):
            return at, node.tokens[inside]
        return at, next(iter(node.children), None)

    def alone(self, key: K) -> int:
        """Tokens of ``key`` that no other key holds."""
        count = 0
        node = self._ends[key]
        while node.count == 1 and node.parent is not None:
            count += len(node.tokens)
            node = node.parent
        return count

    def behind_others(self, key: K) -> int:
        """Tokens of ``key`` behind the longest other sequence that it begins with."""
        count = 0
        node = self._ends[key]
        if len(node.ends) > 1:
            return 0
        while node.parent is not None:
            count += len(node.tokens)
            node = node.parent
            if node.ends:
                break
        return count

    # --- the tree ---------------------------------------------------------------------------------

    def _path(self, tokens: array[int], limit: int) -> Iterator[tuple[int, _Node[K]]]:
        """The nodes that ``tokens[:limit]`` runs through, and how far it has come in each."""
        limit = min(limit, len(tokens))
        node: _Node[K] | None = self._root
        at = 0
        while at < limit and node is not None:
            node = node.children.get(tokens[at])
            if node is not None:
                shared = common_prefix(node.tokens, tokens, limit - at, offset=at)
                at += shared
                yield at, node
                if shared < len(node.tokens):
                    return

    def _descend(self, node: _Node[K], tokens: array[int]) -> _Node[K]:
        """The node where ``tokens`` from ``node`` on end, made where missing and counted."""
        at = 0
        while at < len(tokens):
            child = node.children.get(tokens[at])
            if child is None:
                child = _Node(node, tokens[at:], 0)
                node.children[tokens[at]] = child
                self._distinct += len(child.tokens)
            shared = common_prefix(child.tokens, tokens, len(tokens) - at, offset=at)
            if shared < len(child.tokens):
                child = self._split(child, shared)
            child.count += 1
            node = child
            at += shared
        return node

    def _split(self, node: _Node[K], at: int) -> _Node[K]:
        """Cut a run in two; returns the upper part."""
        parent = node.parent
        assert parent is not None  # the root has no tokens to cut
        upper = _Node(parent, node.tokens[:at], node.count)
        parent.children[upper.tokens[0]] = upper
        node.tokens = node.tokens[at:]
        node.parent = upper
        upper.children[node.tokens[0]] = node
        return upper

    def _merge(self, node: _Node[K]) -> None:
        """Join a node where nothing ends or branches with what follows."""
        if node.parent is None or node.ends or len(node.children) != 1:
            return
        (child,) = node.children.values()
        child.tokens = node.tokens + child.tokens
        child.parent = node.parent
        node.parent.children[child.tokens[0]] = child

    def _settle(self, key: K, node: _Node[K]) -> None:
        node.ends.add(key)
        self._ends[key] = node
