"""How much two token sequences have in common."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np


def token_array(tokens: Iterable[int] = ()) -> array[int]:
    """Token ids as C ints: grows like a list, compares as fast as a numpy array."""
    return array("i", tokens)


def common_prefix(a: array[int], b: array[int], limit: int, *, offset: int = 0) -> int:
    """Length of the common prefix of ``a`` and ``b[offset:]``, at most ``limit``."""
    size = min(len(a), len(b) - offset, limit)
    if size <= 0:
        return 0
    theirs = np.frombuffer(b, np.int32, size, offset * b.itemsize)
    differ = np.frombuffer(a, np.int32, size) != theirs
    first = int(differ.argmax())
    return first if differ[first] else size
