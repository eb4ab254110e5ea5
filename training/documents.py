"""Conversations as rows of tokens: the chat format, what counts as an answer, and packing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from training.corpus import Corpus, Turn
from training.tokenizer import END_OF_TEXT, TURN_END, TURN_START

# Must give what `encode` gives. Tools are not offered to a model this small.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
PROSE_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch. ``weights`` is 1 where a token is to be predicted; a segment is one document."""

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    segments: NDArray[np.int32]
    weights: NDArray[np.float32]


class Documents:
    """Draws documents from a corpus and packs them into rows."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, seed: int) -> None:
        self._rng = random.Random(seed)
        self._corpus = corpus
        self._tokenizer = tokenizer
        self._end = tokenizer.get_vocab()[END_OF_TEXT]

    def encode(self, turns: Sequence[Turn]) -> tuple[list[int], list[float]]:
        """Tokens and weights: what the assistant writes counts, its end of turn too."""
        tokens: list[int] = []
        weights: list[float] = []
        for turn in turns:
            head = self._ids(f"{TURN_START}{turn.role}\n")
            body = self._ids(f"{turn.text}{TURN_END}")
            counts = float(turn.role == "assistant")
            gap = self._ids("\n")
            tokens += head + body + gap
            weights += [0.0] * len(head) + [counts] * len(body) + [0.0] * len(gap)
        return tokens, weights

    def rows(self, count: int, length: int) -> Rows:
        """``count`` rows of ``length`` + 1 tokens; long rows hold long conversations."""
        shape = (count, length + 1)
        rows = Rows(
            np.full(shape, self._end, np.int32),
            np.zeros(shape, np.int32),
            np.full(shape, -1, np.int32),
            np.zeros(shape, np.float32),
        )
        for row in range(count):
            self._fill(rows, row, length + 1)
        return rows

    def _fill(self, rows: Rows, row: int, length: int) -> None:
        start = segment = failures = 0
        while failures < 4 and length - start > 24:
            tokens, weights = self._document(length)
            end = start + len(tokens)
            if end > length:
                failures += 1
                continue
            rows.tokens[row, start:end] = tokens
            rows.positions[row, start:end] = np.arange(len(tokens))
            rows.segments[row, start:end] = segment
            rows.weights[row, start:end] = weights
            rows.weights[row, start] = 0.0
            start, segment = end, segment + 1

    def _document(self, length: int) -> tuple[list[int], list[float]]:
        if self._rng.random() < PROSE_SHARE:
            tokens = [*self._ids(self._corpus.prose()), self._end]
            return tokens, [1.0] * len(tokens)
        # About 35 tokens an exchange: one conversation that nearly fills a long row.
        return self.encode(self._corpus.conversation(length // 45 if length > 600 else 0))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids
