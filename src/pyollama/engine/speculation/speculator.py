"""Drafts for the streams of an engine, and what became of them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence as Collection
from dataclasses import dataclass, field
from typing import Protocol

from pyollama.engine.sequence import Sequence
from pyollama.engine.speculation.acceptance import Acceptance
from pyollama.engine.speculation.lookup import Lookup
from pyollama.engine.speculation.policy import MAX_DRAFT, DraftPolicy, Outcome, Prospect

MAX_ROWS = 64
"""Rows of a step with drafts. Half as many streams fill a batch well enough by themselves."""

PATIENCE = 32
"""After so many steps without drafts the texts are only looked at now and then."""

_NOW_AND_THEN = 8


@dataclass(slots=True)
class Draft:
    """What is to be computed behind the last token of ``sequence``; ``by_model``: not looked up."""

    sequence: Sequence
    tokens: array[int] = field(default_factory=lambda: array("i"))
    by_model: bool = False


@dataclass(frozen=True, slots=True)
class Drafts:
    """One for each stream of a step, in their order; ``seconds`` is what making them took."""

    each: list[Draft]
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        return len(self.each) + sum(len(draft.tokens) for draft in self.each)


class Drafter(Protocol):
    """A second model that says how texts go on."""

    def round_seconds(self, streams: int) -> float:
        """What one more token for each of so many streams takes."""
        ...

    def draft(self, wanted: Collection[tuple[Sequence, int]]) -> list[array[int]]:
        """Up to so many tokens for each sequence; fewer where it is not ready for more."""
        ...

    def forget(self, sequence_id: str) -> None: ...
    def close(self) -> None: ...


class Speculator:
    """Belongs to the engine thread. Without a ``drafter`` drafts only come from the texts."""

    def __init__(
        self, n_ctx: int, drafter: Drafter | None = None, policy: DraftPolicy | None = None
    ) -> None:
        self._n_ctx = n_ctx
        self._drafter = drafter
        self._policy = policy or DraftPolicy()
        self._quiet = 0  # steps since the last draft
        self._all_texts = Acceptance()
        self._lookups: dict[str, Lookup] = {}

    def draft(self, streams: Collection[Sequence], room: int) -> Drafts | None:
        """Drafts for a step of ``streams`` that may have ``room`` rows; ``None`` if there are none.

        Where they have not paid for a while it is only now and then that anything is looked at.
        """
        self._quiet += 1
        skips = self._quiet > PATIENCE and self._quiet % _NOW_AND_THEN
        if skips or not 0 < len(streams) <= MAX_ROWS // 2:
            return None
        drafts = [Draft(sequence) for sequence in streams]
        prospects = [self._prospect(draft, len(streams)) for draft in drafts]
        lengths = self._policy.lengths(prospects, min(room, MAX_ROWS))
        if not any(lengths):
            return None
        for draft, length in zip(drafts, lengths, strict=True):
            if length and not draft.by_model:
                draft.tokens = self._lookups[draft.sequence.id].draft(length)
        self._quiet = 0
        return Drafts(drafts, self._ask_model(drafts, lengths))

    def observe(self, drafts: Drafts, sampled: Collection[int], seconds: float) -> None:
        """The step has run; ``sampled`` is how many tokens came out, by stream."""
        for draft, count in zip(drafts.each, sampled, strict=True):
            lookup = self._lookups.get(draft.sequence.id)
            if draft.by_model and lookup is not None:
                for number in range(min(count, len(draft.tokens))):
                    lookup.acceptance.observe(0, hit=number < count - 1)
        outcome = Outcome(len(sampled), drafts.rows, sum(sampled), seconds, drafts.seconds)
        self._policy.observe(outcome)

    def observe_plain(self, streams: int, seconds: float) -> None:
        """A step without drafts has run."""
        self._policy.observe(Outcome(streams, streams, streams, seconds))

    def observe_prompt(self, rows: int, seconds: float) -> None:
        """A step has computed ``rows`` rows of prompts."""
        self._policy.observe_prompt(rows, seconds)

    def forget(self, sequence: Sequence) -> None:
        """The request is over."""
        self._lookups.pop(sequence.id, None)
        if self._drafter is not None:
            self._drafter.forget(sequence.id)

    def close(self) -> None:
        if self._drafter is not None:
            self._drafter.close()

    def _lookup(self, sequence: Sequence) -> Lookup:
        lookup = self._lookups.get(sequence.id)
        if lookup is None:
            acceptance = Acceptance(self._all_texts)
            lookup = Lookup(sequence.tokens, self._n_ctx, acceptance)
            self._lookups[sequence.id] = lookup
        lookup.advance()
        return lookup

    def _prospect(self, draft: Draft, streams: int) -> Prospect:
        """What could be drafted; by the model where it is right more often than the text."""
        sequence = draft.sequence
        asked = sequence.request.max_draft
        if asked == 0:
            return Prospect()
        lookup = self._lookup(sequence)
        length = min(sequence.wanted - 1, MAX_DRAFT, asked if asked > 0 else MAX_DRAFT)
        chance = lookup.acceptance.chance
        if self._drafter is not None and (not lookup.match or chance(lookup.match) < chance(0)):
            draft.by_model = True
            return Prospect([chance(0)] * length, self._drafter.round_seconds(streams))
        return Prospect(lookup.chances(length))

    def _ask_model(self, drafts: list[Draft], lengths: list[int]) -> float:
        """Let the model draft where that was decided; returns the seconds it took."""
        pairs = zip(drafts, lengths, strict=True)
        asked = [(draft, length) for draft, length in pairs if length and draft.by_model]
        if self._drafter is None or not asked:
            return 0.0
        wanted = [(draft.sequence, length) for draft, length in asked]
        for (draft, _), tokens in zip(asked, self._drafter.draft(wanted), strict=True):
            draft.tokens = tokens
        rounds = max(len(draft.tokens) for draft, _ in asked)
        return rounds * self._drafter.round_seconds(len(asked))
