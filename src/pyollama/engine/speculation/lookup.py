"""Drafts out of the text itself: what followed the last time the same words were said."""

from __future__ import annotations

from array import array

from pyollama.engine.speculation.acceptance import Acceptance
from pyollama.engine.speculation.matches import MatchFinder


class Lookup:
    """Guesses how ``tokens``, prompt and answer of one sequence, goes on.

    It always holds a guess, also when nobody drafts, and notes whether the next token was the one
    it guessed. So it knows what its drafts are worth before a single one has been computed.
    """

    def __init__(self, tokens: array[int], capacity: int, acceptance: Acceptance) -> None:
        self.acceptance = acceptance
        self.match = 0
        """Length of the match that the guess rests on; 0 without a guess."""
        self._tokens = tokens
        self._capacity = capacity
        self._finder = MatchFinder(capacity)
        self._source = 0  # position of the guessed token
        self._seen = len(tokens)

    def advance(self) -> None:
        """Take in what was appended to the tokens; if some were taken out, start over."""
        tokens = self._tokens
        if len(tokens) < self._seen:
            self._restart()
        for position in range(self._seen, len(tokens)):
            if self.match:
                hit = tokens[self._source] == tokens[position]
                self.acceptance.observe(self.match, hit)
                self._source += 1
                self.match = self.match + 1 if hit else 0
        self._seen = len(tokens)
        self._finder.extend(tokens)
        if not self.match:
            self._source, self.match = self._finder.find(tokens)

    def chances(self, length: int) -> list[float]:
        """How likely each token of a draft is right if those before it are."""
        if not self.match:
            return []
        known: dict[int, float] = {}
        chances = []
        for match in range(self.match, self.match + length):
            kind = match.bit_length()
            if kind not in known:
                known[kind] = self.acceptance.chance(match)
            chances.append(known[kind])
        return chances

    def draft(self, length: int) -> array[int]:
        """The guessed tokens; what reaches the end of the text goes on with itself."""
        if not self.match:
            return array("i")
        found = self._tokens[self._source : self._source + length]
        period = found[:]
        while len(found) < length:
            found.extend(period[: length - len(found)])
        return found

    def _restart(self) -> None:
        self._finder = MatchFinder(self._capacity)
        self._seen = len(self._tokens)
        self._source = self.match = 0
