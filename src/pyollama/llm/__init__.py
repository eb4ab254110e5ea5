"""A language model in this process, for Python programs."""

from __future__ import annotations

from pyollama.llm.answers import AsyncStream, ChatAnswer, Completion, Score, Stream
from pyollama.llm.model import LLM
from pyollama.llm.options import ChatOptions, GenerateOptions
from pyollama.llm.session import Session

__all__ = [
    "LLM",
    "AsyncStream",
    "ChatAnswer",
    "ChatOptions",
    "Completion",
    "GenerateOptions",
    "Score",
    "Session",
    "Stream",
]
