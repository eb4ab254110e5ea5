"""The vocabulary of a model in the server process: tokens without weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pyollama.service.recent import Recent


class NativeVocabulary(Protocol):
    """What is used of ``pyollama._native.Model``."""

    @property
    def add_bos(self) -> bool: ...
    @property
    def bos(self) -> int: ...
    @property
    def add_eos(self) -> bool: ...
    @property
    def add_sep(self) -> bool: ...
    @property
    def sep(self) -> int: ...
    @property
    def n_vocab(self) -> int: ...
    def tokenize(
        self, text: str | bytes, *, add_special: bool = True, parse_special: bool = False
    ) -> NDArray[np.int32]: ...
    def tokenize_batch(
        self, texts: Sequence[str], *, add_special: bool = True, parse_special: bool = False
    ) -> list[NDArray[np.int32]]: ...
    def detokenize(
        self,
        tokens: Sequence[int],
        *,
        remove_special: bool = False,
        render_special: bool = False,
    ) -> bytes: ...
    def piece(self, token: int, *, render_special: bool = False) -> bytes: ...


class Vocabulary:
    """Text to tokens and back. Safe to use from several threads."""

    def __init__(self, native: NativeVocabulary) -> None:
        self.native = native

    @cached_property
    def add_bos(self) -> bool:
        return self.native.add_bos

    @cached_property
    def bos(self) -> int:
        return self.native.bos

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        tokens = self.native.tokenize(text, add_special=add_special, parse_special=parse_special)
        plain: list[int] = tokens.tolist()
        return plain

    def tokenize_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Texts to embed: with the special tokens around them, and no markup inside."""
        return [tokens.tolist() for tokens in self.native.tokenize_batch(texts)]

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of ``tokens``, special ones included."""
        return self.native.detokenize(tokens, render_special=True).decode("utf-8", "replace")

    def token_text(self, token: int) -> str:
        return self.native.piece(token, render_special=True).decode("utf-8", "replace")


class Vocabularies:
    """Opens vocabularies and keeps those used last; each costs a few megabytes.

    Called from worker threads only: opening one reads the file.
    """

    def __init__(self, opener: Callable[[Path], NativeVocabulary], *, most: int = 8) -> None:
        self._open = opener
        self._kept: Recent[Path, Vocabulary] = Recent(most)

    def of(self, path: Path) -> Vocabulary:
        return self._kept.get(path, lambda: Vocabulary(self._open(path)))
