"""What a single call may set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import msgspec

from pyollama.chat.grammar import format_grammar
from pyollama.service.options import Options
from pyollama.types import JSON, Adapters, Grammar, SamplingParams, Tool


class GenerateOptions(TypedDict, total=False):
    """``temperature`` and ``seed`` win over those in ``sampling``, which by default is the model's.

    ``max_tokens`` < 0 means up to the context. ``logprobs`` is the number of alternatives wanted
    beside each token. With ``shift`` a full context drops its older half instead of ending the
    answer. ``max_draft`` bounds how many tokens are drafted at a time; 0 switches speculation off.
    ``adapters`` are LoRA adapters with their scales, each a file or the name of one of the model's
    own; they take the place of the model's own, so ``()`` means none.
    ``format`` holds the answer to "json", a JSON schema, or a :class:`~pyollama.Grammar`.
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
    format: str | JSON | Grammar


class ChatOptions(GenerateOptions, total=False):
    """``think`` is on by default where the model can.

    JSON in ``format`` begins after the thinking, a :class:`~pyollama.Grammar` with the first token.
    """

    tools: Sequence[Tool]
    think: bool | str


def with_json_format(sampling: SamplingParams, asked: GenerateOptions) -> SamplingParams:
    """``sampling`` held to that format from the first token on; may raise ``InvalidOption``."""
    grammar = format_grammar(json_format(asked))
    return msgspec.structs.replace(sampling, grammar=grammar) if grammar else sampling


def json_format(asked: GenerateOptions) -> str | JSON | None:
    """The ``format``, if it is one that chat formats know."""
    wanted = asked.get("format")
    return None if isinstance(wanted, Grammar) else wanted


def effective(defaults: Options, asked: GenerateOptions) -> Options:
    """The model's own options, with what was asked for on top."""
    sampling = asked.get("sampling", defaults.sampling)
    if "temperature" in asked:
        sampling = msgspec.structs.replace(sampling, temperature=asked["temperature"])
    if "seed" in asked:
        sampling = msgspec.structs.replace(sampling, seed=asked["seed"])
    wanted = asked.get("format")
    if isinstance(wanted, Grammar):
        sampling = msgspec.structs.replace(sampling, grammar=wanted)
    return Options(
        load=defaults.load,
        sampling=sampling,
        num_predict=asked.get("max_tokens", defaults.num_predict),
        num_keep=defaults.num_keep,
        draft_num_predict=asked.get("max_draft", defaults.draft_num_predict),
        stop=tuple(asked.get("stop", defaults.stop)),
        adapters=asked.get("adapters"),
    )
