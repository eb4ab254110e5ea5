"""How much prefill a step may carry, so that running streams keep their pace."""

from __future__ import annotations

from dataclasses import dataclass

SLOWDOWN = 3.0
"""A step with prefill may take this many times as long as one without."""

MIN_CHUNK = 4
"""Fewer rows of a prompt would drag it out; at a long context even these may be a whole step."""

BURST_SECONDS = 3.0
"""Prompts that take longer than this together are no burst: they are spread."""

_WEIGHT = 0.2  # of a new measurement in the running means


@dataclass(frozen=True, slots=True)
class Demand:
    """What there is to do.

    ``streams`` have begun to flow, ``fresh`` ones have just said their first token, ``prompts``
    still wait for theirs and have ``prompt_tokens`` to be computed.
    """

    streams: int
    fresh: int
    prompts: int
    prompt_tokens: int


class Pace:
    """Learns from the duration of past steps; knows no clock of its own."""

    def __init__(self) -> None:
        self._decode: float | None = None  # seconds of a step that only decodes
        self._prefill: float | None = None  # seconds one more prompt token costs

    def observe(self, *, decode_rows: int, prefill_rows: int, seconds: float) -> None:
        """One step has run. Steps that mix too little of a kind teach nothing."""
        if prefill_rows == 0 and decode_rows > 0:
            self._decode = _mean(self._decode, seconds)
        elif prefill_rows >= MIN_CHUNK:
            others = self._decode if decode_rows and self._decode else 0.0
            cost = max(seconds - others, seconds * 0.1) / prefill_rows
            self._prefill = _mean(self._prefill, cost)

    def share(self, rows: int, demand: Demand) -> int:
        """How many tokens of prompts the next step of ``rows`` rows may compute.

        While nobody streams as many as there is room for. In a burst too: where most requests have
        only just come and their prompts are soon computed, finishing those first serves everybody,
        because streams that start together also decode together.
        """
        if not demand.streams + demand.fresh or self._is_burst(demand):
            return rows
        if self._decode is None or self._prefill is None:
            return min(4 * MIN_CHUNK, rows)
        extra = (SLOWDOWN - 1.0) * self._decode
        return min(max(int(extra / self._prefill), MIN_CHUNK), rows)

    def _is_burst(self, demand: Demand) -> bool:
        if demand.prompts + demand.fresh <= demand.streams or self._prefill is None:
            return False
        return demand.prompt_tokens * self._prefill <= BURST_SECONDS


def _mean(mean: float | None, value: float) -> float:
    return value if mean is None else mean + _WEIGHT * (value - mean)
