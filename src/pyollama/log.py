"""Where log lines go, and which of them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

NATIVE = "pyollama.native"
"""The logger of what llama.cpp has to say, in this process and in the workers."""


class _Formatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def set_up(debug: int = 0, stream: TextIO | None = None) -> None:
    """Log to ``stream`` (standard error). ``debug`` is ``OLLAMA_DEBUG``: 1 and 2 tell more.

    llama.cpp reports dozens of facts for each load as ordinary news, so it is one level quieter
    than we are.
    """
    ours = logging.DEBUG if debug else logging.INFO
    native = {0: logging.WARNING, 1: logging.INFO}.get(debug, logging.DEBUG)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("pyollama").setLevel(ours)
    logging.getLogger(NATIVE).setLevel(native)


def forward_native(drain: Callable[[], list[tuple[int, str]]]) -> None:
    """Pass on what llama.cpp has said in this process; ``drain`` is ``_native.drain_log``."""
    logger = logging.getLogger(NATIVE)
    for level, line in drain():
        logger.log(level, "%s", line)
