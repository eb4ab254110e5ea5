"""Drafts by a second, smaller model with the same vocabulary."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Sequence as Collection
from dataclasses import dataclass
from typing import Generic

import numpy as np

from pyollama.engine.backend import Backend, Batch, S
from pyollama.engine.prefix import common_prefix, token_array
from pyollama.engine.sequence import Sequence
from pyollama.engine.speculation.costs import StepCosts
from pyollama.errors import PyollamaError
from pyollama.types import SamplingParams

log = logging.getLogger(__name__)

_LIKELIEST = SamplingParams(temperature=0.0, repeat_last_n=0)


@dataclass(slots=True)
class _Place:
    """A KV sequence of the draft model: ``tokens`` are in it, ``owner`` is the request."""

    index: int
    tokens: array[int]
    owner: str = ""


class ModelDrafter(Generic[S]):
    """Keeps the texts of up to ``info.n_slots`` requests in a context of its own.

    A text is only read when a draft of it is wanted, at most one batch in a step, so that a long
    prompt does not hold the others up; until then there are no drafts for it. Any failure only
    means that there are none.
    """

    def __init__(self, backend: Backend[S]) -> None:
        self._backend = backend
        self._places = [_Place(index, token_array()) for index in range(backend.info.n_slots)]
        self._samplers = [
            backend.sampler(
                _LIKELIEST,
                prompt=np.zeros(0, np.int32),
                n_ctx=backend.info.n_ctx,
                ignore_eos=False,
            )
            for _ in self._places
        ]
        self._costs = StepCosts()

    def round_seconds(self, streams: int) -> float:
        """What one more token for each of so many streams takes; 0 before that was measured."""
        return self._costs.measured(streams) or 0.0

    def draft(self, wanted: Collection[tuple[Sequence, int]]) -> list[array[int]]:
        """The likeliest tokens, up to so many for each sequence; none where a text is not read."""
        drafts = {sequence.id: token_array() for sequence, _ in wanted}
        places = {sequence.id: self._place(sequence) for sequence, _ in wanted}
        try:
            ready = [
                (place, drafts[sequence.id], sequence.tokens, length)
                for sequence, length in wanted
                if (place := places[sequence.id]) is not None and self._read(place, sequence)
            ]
            self._speak(ready)
        except PyollamaError as error:
            log.warning("drafting failed: %s", error)
            self._clear()
        return list(drafts.values())

    def forget(self, sequence_id: str) -> None:
        """The request is over; its text stays for one that begins alike."""
        for place in self._places:
            if place.owner == sequence_id:
                place.owner = ""

    def close(self) -> None:
        for sampler in self._samplers:
            sampler.close()
        self._backend.close()

    def _place(self, sequence: Sequence) -> _Place | None:
        mine = next((place for place in self._places if place.owner == sequence.id), None)
        if mine is not None:
            return mine
        free = [place for place in self._places if not place.owner]
        if not free:
            return None
        tokens = sequence.tokens
        place = max(free, key=lambda place: common_prefix(place.tokens, tokens, len(tokens)))
        place.owner = sequence.id
        return place

    def _read(self, place: _Place, sequence: Sequence) -> bool:
        """Bring the cache up to the last token but one; false if that takes more than a step."""
        tokens = sequence.tokens
        self._cut(place, common_prefix(place.tokens, tokens, len(tokens) - 1))
        unread = tokens[len(place.tokens) : len(tokens) - 1]
        now = unread[: self._backend.limits.rows]
        if now:
            self._decode([(place, token) for token in now], outputs=False)
        return len(now) == len(unread)

    def _speak(self, ready: list[tuple[_Place, array[int], array[int], int]]) -> None:
        """One token for each text in a round, as long as somebody wants more."""
        last = {place.index: tokens[-1] for place, _, tokens, _ in ready}
        speaking = [(place, draft, length) for place, draft, _, length in ready]
        while speaking:
            started = time.perf_counter()
            rows = [(place, last[place.index]) for place, _, _ in speaking]
            self._decode(rows, outputs=True)
            samplers = [self._samplers[place.index] for place, _ in rows]
            sampled = self._backend.sample(range(len(rows)), samplers)
            self._costs.observe(len(rows), time.perf_counter() - started)
            for (place, draft, _), token in zip(speaking, sampled, strict=True):
                if isinstance(token, PyollamaError):
                    raise token
                last[place.index] = token
                draft.append(token)
            speaking = [each for each in speaking if len(each[1]) < each[2]]

    def _decode(self, rows: list[tuple[_Place, int]], *, outputs: bool) -> None:
        positions = []
        for place, token in rows:
            positions.append(len(place.tokens))
            place.tokens.append(token)
        self._backend.decode(
            Batch(
                tokens=np.array([token for _, token in rows], np.int32),
                positions=np.array(positions, np.int32),
                sequences=np.array([place.index for place, _ in rows], np.int32),
                outputs=np.full(len(rows), outputs),
            )
        )

    def _cut(self, place: _Place, length: int) -> None:
        if length < len(place.tokens):
            self._backend.trim(place.index, length)
            del place.tokens[length:]

    def _clear(self) -> None:
        for place in self._places:
            self._backend.trim(place.index, 0)
            place.tokens = token_array()
