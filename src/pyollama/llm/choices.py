"""Several answers to one prompt.

They run at the same time as requests of their own. Beginning alike, they share the prompt: one
computes it, the others copy it and only compute its last token.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import msgspec

from pyollama.errors import InvalidRequest
from pyollama.llm.answers import ChatAnswer, Completion
from pyollama.llm.options import ChatOptions, GenerateOptions, effective
from pyollama.service.options import Options
from pyollama.types import SamplingParams

A = TypeVar("A", Completion, ChatAnswer)
Asked = TypeVar("Asked", GenerateOptions, ChatOptions)
T = TypeVar("T")

_SEEDS = (1 << 32) - 1
"""How many seeds there are; llama.cpp reads the one number more as a random one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The ``n`` best of ``tried`` answers."""

    n: int
    tried: int

    @classmethod
    def of(cls, n: int | None, best_of: int | None) -> Self:
        wanted = 1 if n is None else n
        if wanted < 1:
            raise InvalidRequest(f"n: {wanted} answers cannot be given", field="n")
        tried = wanted if best_of is None else best_of
        if tried < wanted:
            raise InvalidRequest(
                f"best_of: {tried} answers are too few to choose {wanted} from", field="best_of"
            )
        return cls(wanted, tried)

    @property
    def ranks(self) -> bool:
        return self.tried > self.n


async def several(
    ask: Callable[[Asked], Coroutine[Any, Any, A]],
    wanted: Wanted,
    defaults: Options,
    options: Asked,
) -> list[A]:
    """Ask as often as ``wanted`` and choose; where all are wanted they come in order of seed."""
    sampling = effective(defaults, options).sampling
    answers = await all_of(
        [ask(_varied(options, sampling, index, wanted)) for index in range(wanted.tried)]
    )
    if wanted.ranks:
        answers = sorted(answers, key=_mean_logprob, reverse=True)[: wanted.n]
        if "logprobs" not in options:
            answers = [replace(answer, logprobs=()) for answer in answers]
    return answers


async def all_of(work: list[Coroutine[Any, Any, T]]) -> list[T]:
    """All results, in order. When one fails, the others are given up."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _varied(options: Asked, sampling: SamplingParams, index: int, wanted: Wanted) -> Asked:
    """``options`` for one of the answers: a seed that was given goes up by one each time."""
    if sampling.seed >= 0:
        seed = (sampling.seed + index) % _SEEDS
        sampling = msgspec.structs.replace(sampling, seed=seed)
    varied = options.copy()
    varied.pop("seed", None)
    varied.pop("temperature", None)  # in ``sampling`` already
    varied["sampling"] = sampling
    if wanted.ranks:
        varied.setdefault("logprobs", 0)
    return varied


def _mean_logprob(answer: Completion | ChatAnswer) -> float:
    """By which answers are ranked; one that says nothing comes last."""
    if not answer.logprobs:
        return -math.inf
    return sum(entry.logprob for entry in answer.logprobs) / len(answer.logprobs)
