"""What a request may set, and what wins: defaults, then the model's parameters, then the request.

Unknown names are ignored, ``null`` counts as absent. Numbers out of range are used as they are, as
far as that means anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyollama.errors import InvalidOption
from pyollama.types import JSON, Adapters, LoadOptions, SamplingParams

_INT_MAX = (1 << 31) - 1

#: A context smaller than this is not worth loading.
LEAST_CONTEXT = 4

#: An answer is never longer than so many contexts.
CONTEXTS_PER_ANSWER = 10


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one request, sorted by who needs them.

    ``num_predict`` < 0 means no limit of its own; ``num_keep`` < 0 means the whole prompt. At most
    ``draft_num_predict`` tokens are drafted at a time, < 0 leaves that to the engine, by the model
    called ``draft_model`` if it is not empty. ``adapters`` take the place of the model's own.
    """

    load: LoadOptions
    sampling: SamplingParams
    num_predict: int = -1
    num_keep: int = 4
    draft_num_predict: int = -1
    draft_model: str = ""
    stop: tuple[str, ...] = ()
    adapters: Adapters | None = None

    def max_tokens(self, n_ctx: int) -> int:
        """The longest answer in a context of ``n_ctx`` tokens. 0 counts as no limit."""
        most = CONTEXTS_PER_ANSWER * n_ctx
        return self.num_predict if 0 < self.num_predict < most else most


def merge(parameters: Mapping[str, Any], requested: Mapping[str, Any]) -> Options:
    """The options that hold for a request to a model with ``parameters``."""
    values: JSON = {}
    for source in (parameters, requested):
        for name, value in source.items():
            if name in _KINDS and value is not None:
                values[name] = _KINDS[name](name, value)
    if "num_ctx" in values:
        values["num_ctx"] = _context(values["num_ctx"])
    return Options(
        load=LoadOptions(**_picked(values, _LOAD)),
        sampling=SamplingParams(**_picked(values, _SAMPLING)),
        **_picked(values, _OTHER),
    )


def _picked(values: JSON, names: tuple[str, ...]) -> JSON:
    return {name: values[name] for name in names if name in values}


def _context(asked: int) -> int | None:
    """0 leaves the size to the runtime."""
    return max(asked, LEAST_CONTEXT) if asked else None


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(name, "of type integer")
    try:
        return max(-_INT_MAX - 1, min(_INT_MAX, int(value)))
    except (OverflowError, ValueError) as error:
        raise _bad(name, "of type integer") from error


def _seed(name: str, value: Any) -> int:
    """-1 asks for a random one; others count modulo 2**32, as far as the sampler can see."""
    seed = _integer(name, value)
    return seed if seed == -1 else seed % (1 << 32)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(name, "of type float32")
    try:
        return float(value)
    except OverflowError as error:
        raise _bad(name, "of type float32") from error


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _bad(name, "of type boolean")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _bad(name, "of type string")
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise _bad(name, "of type array")
    if not all(isinstance(item, str) for item in value):
        raise _bad(name, "of an array of strings")
    return tuple(value)


def _biases(name: str, value: Any) -> dict[int, float]:
    """What is added to the logits of tokens, by their ids."""
    if not isinstance(value, dict):
        raise _bad(name, "of type object")
    try:
        return {int(token): _number(name, bias) for token, bias in value.items()}
    except ValueError as error:
        raise _bad(name, "of an object whose keys are ids of tokens") from error


def _bad(name: str, wanted: str) -> InvalidOption:
    return InvalidOption(f'option "{name}" must be {wanted}', field=f"options.{name}")


_SAMPLING_KINDS: dict[str, Callable[[str, Any], Any]] = {
    "seed": _seed,
    "temperature": _number,
    "top_k": _integer,
    "top_p": _number,
    "min_p": _number,
    "typical_p": _number,
    "top_n_sigma": _number,
    "xtc_probability": _number,
    "xtc_threshold": _number,
    "dry_multiplier": _number,
    "dry_base": _number,
    "dry_allowed_length": _integer,
    "dry_penalty_last_n": _integer,
    "dry_sequence_breakers": _texts,
    "mirostat": _integer,
    "mirostat_tau": _number,
    "mirostat_eta": _number,
    "repeat_last_n": _integer,
    "repeat_penalty": _number,
    "presence_penalty": _number,
    "frequency_penalty": _number,
    "logit_bias": _biases,
}
_LOAD_KINDS: dict[str, Callable[[str, Any], Any]] = {
    "num_ctx": _integer,
    "num_batch": _integer,
    "num_gpu": _integer,
    "main_gpu": _integer,
    "use_mmap": _boolean,
    "num_thread": _integer,
}
_OTHER_KINDS: dict[str, Callable[[str, Any], Any]] = {
    "num_predict": _integer,
    "num_keep": _integer,
    "draft_num_predict": _integer,
    "draft_model": _text,
    "stop": _texts,
}
_KINDS = _SAMPLING_KINDS | _LOAD_KINDS | _OTHER_KINDS
_SAMPLING = tuple(_SAMPLING_KINDS)
_LOAD = tuple(_LOAD_KINDS)
_OTHER = tuple(_OTHER_KINDS)

OPTION_NAMES = tuple(sorted(_KINDS))
"""What a request may set; every other name is ignored."""
