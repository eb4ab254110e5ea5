"""Progress of work that writes a file nobody knows the length of."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TypeVar

from pyollama.types import Progress

T = TypeVar("T")

_NO_DIGEST = "0000000000000000000"
"""Clients show a bar where there is a digest; this is what Ollama sends where there is none."""


def measured(
    status: str, total: int, work: Generator[int, None, T]
) -> Generator[Progress, None, T]:
    """Say of ``work``, which yields the bytes it has written, how much of ``total`` that is."""
    with closing(work):
        while True:
            try:
                done = next(work)
            except StopIteration as stop:
                result: T = stop.value
                break
            yield Progress(status, _NO_DIGEST, total, min(done, total))
    yield Progress(status, _NO_DIGEST, total, total)
    return result
