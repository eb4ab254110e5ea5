"""From token pieces, which are bytes, to text."""

from __future__ import annotations

import codecs


class Detokenizer:
    """Joins pieces into text and holds back while the last character is incomplete.

    What is held back is whole pieces, so every text returned stands for whole tokens. Bytes that
    can never become a character turn into U+FFFD.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def feed(self, piece: bytes) -> str:
        self._held += self._decoder.decode(piece)
        incomplete = self._decoder.getstate()[0]
        return "" if incomplete else self._take()

    def flush(self) -> str:
        """The rest; a character that was never completed is dropped."""
        self._decoder.reset()
        return self._take()

    def _take(self) -> str:
        text, self._held = self._held, ""
        return text
