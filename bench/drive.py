"""Plays one workload against one server and measures it from the client's side."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field

import httpx

from bench.dialects import Dialect
from bench.workloads import Conversation, Embedding, Workload


@dataclass(slots=True)
class Measured:
    """``rate`` is output tokens (or texts) per second of wall time; times are in seconds."""

    rate: float
    wall: float
    n_output: int
    first_token: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        figures = {"rate": self.rate, "wall": self.wall, "n_output": self.n_output}
        if self.first_token:
            figures["ttft_p50"] = statistics.median(self.first_token)
            figures["ttft_max"] = max(self.first_token)
        if len(self.gaps) > 1:
            figures["gap_p50"] = statistics.median(self.gaps)
            figures["gap_p99"] = statistics.quantiles(self.gaps, n=100)[98]
        return figures


async def play(base_url: str, dialect: Dialect, workload: Workload) -> Measured:
    """All clients of ``workload`` at once; returns when the last one has its answer."""
    async with httpx.AsyncClient(base_url=base_url, timeout=600) as http:
        begin = time.perf_counter()
        if isinstance(workload, Embedding):
            n = await dialect.embed(http, workload.texts)
            wall = time.perf_counter() - begin
            return Measured(n / wall, wall, n)
        measured = Measured(0, 0, 0)
        await asyncio.gather(
            *(_converse(http, dialect, one, measured) for one in workload.conversations)
        )
        measured.wall = time.perf_counter() - begin
        measured.rate = measured.n_output / measured.wall
        return measured


async def _converse(
    http: httpx.AsyncClient, dialect: Dialect, conversation: Conversation, measured: Measured
) -> None:
    said = ""
    for turn in conversation.turns:
        said += turn
        begin = last = time.perf_counter()
        first, total = True, 0
        async for text, so_far in dialect.complete(http, said, conversation.max_tokens):
            now = time.perf_counter()
            if first:
                measured.first_token.append(now - begin)
                first = False
            else:
                measured.gaps.append(now - last)
            last = now
            said += text
            total = so_far
        measured.n_output += total
