"""What the tests of the text side have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import pytest

from pyollama.chat.interface import OutputParser
from pyollama.types import Delta

ReadAll = Callable[[Callable[[], OutputParser], str], Delta]


def _sum(deltas: Iterable[Delta]) -> Delta:
    total = Delta()
    for delta in deltas:
        total = Delta(
            content=total.content + delta.content,
            thinking=total.thinking + delta.thinking,
            tool_calls=total.tool_calls
            + tuple(msgspec.structs.replace(call, id="") for call in delta.tool_calls),
        )
    return total


def _read(parser: OutputParser, pieces: Iterable[str]) -> Delta:
    return _sum([*(parser.feed(piece) for piece in pieces), parser.flush()])


@pytest.fixture
def read_all() -> ReadAll:
    """Reads a text at once, cut in two at every place, and by characters; all must agree."""

    def read(make: Callable[[], OutputParser], text: str) -> Delta:
        whole = _read(make(), [text])
        for cut in range(1, len(text)):
            assert _read(make(), [text[:cut], text[cut:]]) == whole, cut
        assert _read(make(), text) == whole
        return whole

    return read
