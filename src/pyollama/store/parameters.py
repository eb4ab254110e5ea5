"""Model parameters: their names and types, and the texts they are read from and shown as."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from pyollama.errors import InvalidRequest

Value = int | float | bool | str | list[str]

_Kind = Literal["int", "float", "bool", "texts"]

KINDS: Mapping[str, _Kind] = {
    "num_keep": "int",
    "seed": "int",
    "num_predict": "int",
    "top_k": "int",
    "top_p": "float",
    "min_p": "float",
    "typical_p": "float",
    "repeat_last_n": "int",
    "temperature": "float",
    "repeat_penalty": "float",
    "presence_penalty": "float",
    "frequency_penalty": "float",
    "stop": "texts",
    "num_ctx": "int",
    "num_batch": "int",
    "num_gpu": "int",
    "main_gpu": "int",
    "use_mmap": "bool",
    "num_thread": "int",
    "draft_num_predict": "int",
}

DEPRECATED = frozenset(
    {
        "penalize_newline",
        "low_vram",
        "f16_kv",
        "logits_all",
        "vocab_only",
        "use_mlock",
        "mirostat",
        "mirostat_tau",
        "mirostat_eta",
    }
)
"""Names that old Modelfiles have; they are read and have no effect."""

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|nan)", re.IGNORECASE
)


def read_parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, Value]:
    """Typed values out of texts. Lists collect, of the others the last one wins.

    Deprecated names are dropped. An unknown name or a bad value is an :class:`InvalidRequest`.
    """
    values: dict[str, Value] = {}
    for name, text in pairs:
        if name in DEPRECATED:
            continue
        kind = KINDS.get(name)
        if kind is None:
            raise InvalidRequest(f"unknown parameter '{name}'", field=name)
        if kind == "texts":
            earlier = values.get(name)
            values[name] = [*(earlier if isinstance(earlier, list) else ()), text]
        else:
            values[name] = _convert(name, text, kind)
    return values


def _convert(name: str, text: str, kind: _Kind) -> Value:
    if kind == "int" and _INT.fullmatch(text) and -(1 << 63) <= int(text) < 1 << 63:
        return int(text)
    if kind == "float" and _FLOAT.fullmatch(text):
        return float(text)
    if kind == "bool" and text in _TRUE | _FALSE:
        return text in _TRUE
    raise InvalidRequest(f"invalid {kind} value [{text}]", field=name)


def parameter_lines(parameters: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names and values as text, one pair for each element of a list; nulls are left out."""
    return [(name, _text(item)) for name, item in _flat(parameters)]


def format_parameters(parameters: Mapping[str, object]) -> str:
    """The table that ``show`` prints: names in 30 columns, texts in double quotes."""
    return "\n".join(
        f"{name:<30} {_quoted(item) if isinstance(item, str) else _text(item)}"
        for name, item in _flat(parameters)
    )


def _flat(parameters: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in parameters.items():
        items = value if isinstance(value, list | tuple) else [value]
        yield from ((name, item) for item in items if item is not None)


def _text(value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
        case int() | float():
            return str(value)
    return _quoted(value)


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
