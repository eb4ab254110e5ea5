"""Run language models on your own machine.

The names below are imported when they are first used, so that ``import pyollama`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyollama.errors import PyollamaError
    from pyollama.llm import (
        LLM,
        AsyncStream,
        ChatAnswer,
        ChatOptions,
        Completion,
        GenerateOptions,
        Score,
        Session,
        Stream,
    )
    from pyollama.types import Delta, Grammar, Message, SamplingParams, Tool, ToolCall, Usage

__version__ = "0.1.0"

_HOMES = {
    "AsyncStream": "llm",
    "ChatAnswer": "llm",
    "ChatOptions": "llm",
    "Completion": "llm",
    "Delta": "types",
    "GenerateOptions": "llm",
    "Grammar": "types",
    "LLM": "llm",
    "Message": "types",
    "PyollamaError": "errors",
    "SamplingParams": "types",
    "Score": "llm",
    "Session": "llm",
    "Stream": "llm",
    "Tool": "types",
    "ToolCall": "types",
    "Usage": "types",
}

__all__ = [
    "LLM",
    "AsyncStream",
    "ChatAnswer",
    "ChatOptions",
    "Completion",
    "Delta",
    "GenerateOptions",
    "Grammar",
    "Message",
    "PyollamaError",
    "SamplingParams",
    "Score",
    "Session",
    "Stream",
    "Tool",
    "ToolCall",
    "Usage",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
