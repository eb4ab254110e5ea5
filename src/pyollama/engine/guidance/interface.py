"""What the engine sees of guidance."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pyollama.errors import PyollamaError
from pyollama.types import Grammar

Masks = NDArray[np.uint32]
"""Bit ``t % 32`` of word ``t // 32`` of a row says whether token ``t`` may come next."""

_ALL = np.uint32(0xFFFFFFFF)


class Guide(Protocol):
    """Holds one answer to its grammar. All of it belongs to the engine thread."""

    def begin(self) -> None:
        """Ask for the mask of the first token."""

    def accept(self, token: int) -> None:
        """Take in a token of the answer, and ask for the mask of the next one."""

    def wait(self) -> None:
        """Until the mask that was asked for is there, or ``error`` says why it never will be."""

    @property
    def error(self) -> PyollamaError | None: ...
    @property
    def complete(self) -> bool:
        """Whether the answer can only end now."""
        ...

    @property
    def mask(self) -> Masks:
        """One row, which holds until the next token is taken in."""
        ...

    def close(self) -> None: ...


class Guidance(Protocol):
    """All guides of a model."""

    def open(self, grammar: Grammar) -> Future[Guide]:
        """From any thread. Fails with ``InvalidGrammar``."""
        ...

    def flush(self) -> None:
        """Have all masks made that were asked for, while the engine does something else."""


class MaskRows:
    """The masks of a step, in memory that is used again and again."""

    def __init__(self, n_vocab: int) -> None:
        self._rows = np.empty((0, (n_vocab + 31) // 32), np.uint32)

    def gather(self, guides: Sequence[Guide | None]) -> Masks | None:
        """One row each; all tokens are allowed where there is no guide. ``None`` if all are."""
        if not any(guide is not None for guide in guides):
            return None
        if len(self._rows) < len(guides):
            self._rows = np.empty((len(guides), self._rows.shape[1]), np.uint32)
        for row, guide in zip(self._rows, guides, strict=False):
            row[:] = _ALL if guide is None else guide.mask
        return self._rows[: len(guides)]
