"""Plays one workload against one contender and measures it from the client's side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

from bench.dialects import Dialect
from bench.spread import percentile
from bench.workloads import Conversation, Embedding, Workload

T = TypeVar("T")


@dataclass(slots=True)
class Measured:
    """``rate`` is output tokens (or texts) per second of wall time; times are in seconds."""

    rate: float = 0
    wall: float = 0
    n_output: int = 0
    first_token: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        figures = {"rate": self.rate, "wall": self.wall, "n_output": self.n_output}
        if self.first_token:
            figures["ttft_p50"] = percentile(self.first_token, 50)
            figures["ttft_max"] = max(self.first_token)
        if self.gaps:
            figures["gap_p50"] = percentile(self.gaps, 50)
            figures["gap_p99"] = percentile(self.gaps, 99)
        return figures


def in_turn(contenders: Sequence[T], round_number: int) -> list[T]:
    """The contenders in the order of this round: another one goes first each time."""
    first = round_number % len(contenders)
    return [*contenders[first:], *contenders[:first]]


async def play(dialect: Dialect, workload: Workload) -> Measured:
    """All clients of ``workload`` at once; returns when the last one has its answer."""
    measured = Measured()
    begin = time.perf_counter()
    if isinstance(workload, Embedding):
        measured.n_output = await dialect.embed(workload.texts)
    else:
        await asyncio.gather(*(_converse(dialect, one, measured) for one in workload.conversations))
    measured.wall = time.perf_counter() - begin
    measured.rate = measured.n_output / measured.wall
    return measured


async def _converse(dialect: Dialect, conversation: Conversation, measured: Measured) -> None:
    said = ""
    for turn in conversation.turns:
        said += turn
        begin = last = time.perf_counter()
        first, total = True, 0
        async with aclosing(dialect.complete(said, conversation.max_tokens)) as pieces:
            async for piece in pieces:
                now = time.perf_counter()
                if first:
                    measured.first_token.append(now - begin)
                    first = False
                elif piece.usage is None:
                    measured.gaps.append(now - last)
                last = now
                said += piece.text
                total = piece.n_tokens
        measured.n_output += total
