"""How likely a guess is right, learned from how often guesses like it were."""

from __future__ import annotations

from dataclasses import dataclass, field

_AT_FIRST = (0.3, 0.3, 0.4, 0.55, 0.7, 0.85, 0.95)
"""By the length of the match: none (a draft model's guess), 1, up to 3, 7, 15, 31, and more."""

_MEMORY = 0.95  # weight of one guess earlier: the last twenty count for one text
_LONG_MEMORY = 0.998
_TRUST = 4.0  # guesses that what is known from elsewhere is worth


@dataclass(slots=True)
class _Tally:
    hits: float = 0.0
    guesses: float = 0.0


def _tallies() -> list[_Tally]:
    return [_Tally() for _ in _AT_FIRST]


@dataclass(slots=True)
class Acceptance:
    """Hit rates of one text, by the length of the match that a guess rests on.

    What one text has not shown yet is taken from ``all_texts``, and that learns from each of them.
    """

    all_texts: Acceptance | None = None
    _tallies: list[_Tally] = field(default_factory=_tallies)

    def observe(self, match: int, hit: bool) -> None:
        tally = self._tallies[_kind(match)]
        memory = _LONG_MEMORY if self.all_texts is None else _MEMORY
        tally.hits = tally.hits * memory + hit
        tally.guesses = tally.guesses * memory + 1.0
        if self.all_texts is not None:
            self.all_texts.observe(match, hit)

    def chance(self, match: int) -> float:
        kind = _kind(match)
        tally = self._tallies[kind]
        before = self.all_texts.chance(match) if self.all_texts else _AT_FIRST[kind]
        return (tally.hits + _TRUST * before) / (tally.guesses + _TRUST)


def _kind(match: int) -> int:
    return min(match.bit_length(), len(_AT_FIRST) - 1)
