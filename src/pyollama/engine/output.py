"""The visible side of an answer: pieces of tokens in, chunks of text out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pyollama.engine.detok import Detokenizer
from pyollama.engine.stop import StopFilter
from pyollama.types import TokenLogprob


class TokenOutput(NamedTuple):
    """One sampled token: its bytes and, where asked for, its place among the alternatives."""

    token: int
    piece: bytes
    logprob: float | None = None
    top: tuple[TokenLogprob, ...] = ()


class Chunk(NamedTuple):
    """Text that goes out together, and the tokens that it is made of."""

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]


class AnswerText:
    """Turns sampled tokens into chunks and finds the stop texts.

    A chunk stands for whole tokens. Where several tokens had to wait for each other, because they
    are parts of one character or may be part of a stop text, they come as one chunk with one
    log-probability, the sum of theirs. Tokens of which nothing is shown are left out.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._detok = Detokenizer()
        self._stop = StopFilter(stops)
        self._held: list[TokenOutput] = []

    @property
    def stop(self) -> str | None:
        """The stop text that ended the answer."""
        return self._stop.matched

    def feed(self, output: TokenOutput) -> Chunk | None:
        self._held.append(output)
        return self._chunk(self._stop.feed(self._detok.feed(output.piece)))

    def flush(self) -> Chunk | None:
        """What was still held back when the answer ended for another reason."""
        text = self._stop.feed(self._detok.flush())
        return self._chunk(text + self._stop.flush())

    def _chunk(self, text: str) -> Chunk | None:
        if not text:
            return None
        held, self._held = self._held, []
        tokens = tuple([output.token for output in held])
        return Chunk(text, tokens, self._joined_logprob(text, held))

    def _joined_logprob(self, text: str, held: list[TokenOutput]) -> tuple[TokenLogprob, ...]:
        logprobs = [output.logprob for output in held if output.logprob is not None]
        if not logprobs:
            return ()
        whole = self._stop.matched is None
        raw = b"".join(output.piece for output in held) if whole else text.encode()
        return (TokenLogprob(text, sum(logprobs), raw, held[-1].top),)
