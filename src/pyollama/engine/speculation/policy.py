"""How many tokens each stream drafts in the next step: what pays, by all that was measured.

A step with drafts yields more tokens and takes longer. Of the lengths that could be drafted those
are taken that promise the most tokens in a second, none at all included. What has not been measured
is tried where it could be better, and paid for out of an account: a hundredth of the computing time
and what drafts have won. An empty account means no trials, so that whatever a machine costs and
however wrong guesses are, hardly more than that hundredth can be lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyollama.engine.speculation.costs import StepCosts

MAX_DRAFT = 31
"""Tokens that are drafted for one stream at most."""

STAKE = 0.006
"""Part of the computing time that may be lost by trying."""

_FIRST_CREDIT = 3.0  # both in steps without drafts
_MOST_CREDIT = 30.0
_WORTH_IT = 1.05  # drafts have to promise so many times the tokens in a second
_HOPEFUL = 1.05  # and a trial as many times the best that is known
_FLOOR = 0.95  # of its pace is left to every stream, however much others gain
_REFRESH = 100  # steps after which what a step without drafts costs is measured again
_LEAST = 0.05  # a token is not drafted if it is less likely to be accepted
_OUTLIER = 3.0


@dataclass(frozen=True, slots=True)
class Prospect:
    """What one stream could draft.

    ``chances`` are those of each token, given that the ones before it are right; ``seconds`` is
    what making one of them takes.
    """

    chances: Sequence[float] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step that has run: ``tokens`` were sampled for ``streams`` streams in ``seconds``.

    ``drafting`` is the time that making the drafts took, not part of ``seconds``.
    """

    streams: int
    rows: int
    tokens: int
    seconds: float
    drafting: float = 0.0


@dataclass(frozen=True, slots=True)
class _Option:
    rows: int
    lengths: list[int]
    tokens: float
    slowest: float  # tokens of the stream that gets the fewest
    drafting: float


class DraftPolicy:
    """Pure: told what steps cost, it says what to draft.

    ``_stake`` pays for trials and gets all that is won; ``_trust`` is what the drafts of measured
    lengths have won alone, so that one bad trial does not stop what is known to be good.
    """

    def __init__(self) -> None:
        self._costs = StepCosts()
        self._stake: _Account | None = None
        self._trust: _Account | None = None

    def lengths(self, prospects: Sequence[Prospect], max_rows: int) -> list[int]:
        """How many tokens to draft for each stream, in a step of at most ``max_rows`` rows."""
        streams = len(prospects)
        plain = self._costs.measured(streams, _REFRESH)
        best = trial = [0] * streams
        if plain is None or self._trust is None or self._trust.seconds < 0:
            return best
        best_rate, trial_rate = _WORTH_IT * streams / plain, 0.0
        for option in _options(prospects, max_rows):
            seconds = self._costs.measured(option.rows)
            hoped = seconds if seconds is not None else self._hope(option, plain)
            if hoped is None or option.slowest * plain < _FLOOR * (hoped + option.drafting):
                continue
            rate = option.tokens / (hoped + option.drafting)
            if seconds is None and rate > trial_rate:
                trial, trial_rate = option.lengths, rate
            elif seconds is not None and rate > best_rate:
                best, best_rate = option.lengths, rate
        return trial if trial_rate > _HOPEFUL * best_rate else best

    def observe(self, outcome: Outcome) -> None:
        usual = self._costs.measured(outcome.rows)
        self._costs.observe(outcome.rows, outcome.seconds)
        plain = self._costs.measured(outcome.streams)
        if plain is None:
            return
        if self._stake is None or self._trust is None:
            self._stake, self._trust = _Account(plain), _Account(plain)
        seconds = min(outcome.seconds, _OUTLIER * usual) if usual else outcome.seconds
        won = 0.0
        if outcome.rows > outcome.streams:
            won = plain * outcome.tokens / outcome.streams - seconds - outcome.drafting
        self._stake.add(won + STAKE * seconds, plain)
        if usual is not None:
            self._trust.add(won + STAKE * seconds, plain)

    def observe_prompt(self, rows: int, seconds: float) -> None:
        """A step has computed ``rows`` rows of one prompt: at no cost, it shows what many cost."""
        self._costs.observe(rows, seconds)

    def _hope(self, option: _Option, plain: float) -> float | None:
        """What a step that is not known yet could cost at best; ``None`` if that is too risky."""
        thinkable = self._costs.bounds(option.rows)
        if thinkable is None or self._stake is None:
            return None
        lost = thinkable.most + option.drafting - plain * option.tokens / len(option.lengths)
        return thinkable.least if lost <= self._stake.seconds else None


class _Account:
    """Seconds that may be lost; ``plain`` is what a step without drafts takes."""

    def __init__(self, plain: float) -> None:
        self.seconds = _FIRST_CREDIT * plain

    def add(self, seconds: float, plain: float) -> None:
        self.seconds = min(self.seconds + seconds, _MOST_CREDIT * plain)


def _options(prospects: Sequence[Prospect], max_rows: int) -> Iterator[_Option]:
    """For every number of rows that is considered, the drafts that promise the most tokens."""
    streams = len(prospects)
    gains = sorted(
        ((gain, index) for index, each in enumerate(prospects) for gain in _gains(each)),
        reverse=True,
    )
    lengths = [0] * streams
    expected = [1.0] * streams
    drafting = 0.0
    for rows, (gain, index) in enumerate(gains[: max(max_rows - streams, 0)], streams + 1):
        lengths[index] += 1
        expected[index] += gain
        drafting = max(drafting, lengths[index] * prospects[index].seconds)
        if _is_considered(rows):
            yield _Option(rows, lengths.copy(), sum(expected), min(expected), drafting)


def _gains(prospect: Prospect) -> Iterator[float]:
    """The chance that a token is accepted, which takes all those before it."""
    gain = 1.0
    for chance in prospect.chances:
        gain *= chance
        if gain < _LEAST:
            return
        yield gain


def _is_considered(rows: int) -> bool:
    """Fewer choices for many rows, so that there is not too much to be measured."""
    return rows <= 16 or rows % (4 if rows <= 32 else 8) == 0
