"""The vocabulary of a model as llguidance wants it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from llguidance import LLTokenizer
from numpy.typing import NDArray

_MARK = "\x02"
_MOST_TWINS = 100


class NativeVocabulary(Protocol):
    """What is used of ``pyollama._native.Model``."""

    @property
    def n_vocab(self) -> int: ...
    @property
    def eog_tokens(self) -> list[int]: ...
    def is_control(self, token: int) -> bool: ...
    def piece(self, token: int, *, render_special: bool = False) -> bytes: ...
    def tokenize(
        self, text: str | bytes, *, add_special: bool = True, parse_special: bool = False
    ) -> NDArray[np.int32]: ...


class Pieces:
    """The tokens of a model as bytes, and its way to cut a text into tokens.

    What the answer's text never shows (control tokens) stands for nothing a grammar could match.
    """

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, native: NativeVocabulary) -> None:
        self._native = native
        tokens = range(native.n_vocab)
        self.tokens = _thinned([native.piece(token, render_special=True) for token in tokens])
        self.special_token_ids = [token for token in tokens if native.is_control(token)]
        self.eos_token_id = native.eog_tokens[0]
        self._opening = self._tokenize(_MARK)
        self._gains_space = self._text(self._opening) != _MARK.encode()

    def __call__(self, text: str) -> list[int]:
        """The tokens of a text in the middle of another one.

        Some vocabularies put a space before every text; behind a mark it can be told from the text.
        """
        if not self._gains_space:
            return self._tokenize(text)
        tokens = self._tokenize(_MARK + text)
        size = len(self._opening)
        return tokens[size:] if tokens[:size] == self._opening else self._tokenize(text)

    def _tokenize(self, text: str) -> list[int]:
        tokens: list[int] = self._native.tokenize(
            text, add_special=False, parse_special=False
        ).tolist()
        return tokens

    def _text(self, tokens: Sequence[int]) -> bytes:
        return b"".join(self.tokens[token] for token in tokens)


def make_tokenizer(native: NativeVocabulary) -> LLTokenizer:
    """Takes about a second for 150,000 tokens, and keeps the GIL meanwhile.

    Raises ``ValueError`` for a vocabulary without a token that ends an answer.
    """
    ends = native.eog_tokens
    if not ends:
        raise ValueError("the model has no token that ends an answer")
    # Its stub asks for its own classes; what it takes is any object with these attributes.
    pieces: object = Pieces(native)
    return LLTokenizer(pieces, eos_token=ends, slices=LLTokenizer.json_slices())  # type: ignore[arg-type]


def _thinned(pieces: list[bytes]) -> list[bytes]:
    """Without most of the tokens that are spelled like a hundred others.

    Building the prefix tree takes time with the square of their number.
    """
    left = Counter(dict.fromkeys(pieces, _MOST_TWINS))
    thinned: list[bytes] = []
    for piece in pieces:
        left[piece] -= 1
        thinned.append(piece if left[piece] >= 0 else b"")
    return thinned
