"""What a single call may set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import msgspec

from pyollama.service.options import Options
from pyollama.types import JSON, Adapters, SamplingParams, Tool


class GenerateOptions(TypedDict, total=False):
    """``temperature`` and ``seed`` win over those in ``sampling``, which by default is the model's.

    ``max_tokens`` < 0 means up to the context. ``logprobs`` is the number of alternatives wanted
    beside each token. With ``shift`` a full context drops its older half instead of ending the
    answer. ``max_draft`` bounds how many tokens are drafted at a time; 0 switches speculation off.
    ``adapters`` are LoRA adapters with their scales, each a file or the name of one of the model's
    own; they take the place of the model's own, so ``()`` means none.
    """

    max_tokens: int
    stop: Sequence[str]
    sampling: SamplingParams
    temperature: float
    seed: int
    logprobs: int
    shift: bool
    max_draft: int
    adapters: Adapters


class ChatOptions(GenerateOptions, total=False):
    """``format`` is "json" or a JSON schema; ``think`` is on by default where the model can."""

    tools: Sequence[Tool]
    think: bool | str
    format: str | JSON


def effective(defaults: Options, asked: GenerateOptions) -> Options:
    """The model's own options, with what was asked for on top."""
    sampling = asked.get("sampling", defaults.sampling)
    if "temperature" in asked:
        sampling = msgspec.structs.replace(sampling, temperature=asked["temperature"])
    if "seed" in asked:
        sampling = msgspec.structs.replace(sampling, seed=asked["seed"])
    return Options(
        load=defaults.load,
        sampling=sampling,
        num_predict=asked.get("max_tokens", defaults.num_predict),
        num_keep=defaults.num_keep,
        draft_num_predict=asked.get("max_draft", defaults.draft_num_predict),
        stop=tuple(asked.get("stop", defaults.stop)),
        adapters=asked.get("adapters"),
    )
