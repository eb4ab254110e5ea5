"""Answers that are nothing but content."""

from __future__ import annotations

from pyollama.types import Delta


class PassthroughParser:
    def feed(self, text: str) -> Delta:
        return Delta(content=text)

    def flush(self) -> Delta:
        return Delta()
