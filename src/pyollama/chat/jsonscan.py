"""Finding JSON objects in text that arrives in pieces, each character looked at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

_OUTSIDE = re.compile(r"\{")
_INSIDE = re.compile(r'[{}"]')
_STRING = re.compile(r'["\\]')


class ObjectScanner:
    """Reports every ``{...}`` whose braces balance and that is in no other one."""

    def __init__(self) -> None:
        self._position = 0
        self._depth = 0
        self._in_string = False
        self._start = 0

    @property
    def inside(self) -> bool:
        """Whether an object has begun that has not ended."""
        return self._depth > 0

    def scan(self, text: str) -> Iterator[tuple[int, int]]:
        """The spans that became complete; ``text`` begins with what was scanned before."""
        while True:
            pattern = _STRING if self._in_string else _INSIDE if self._depth else _OUTSIDE
            match = pattern.search(text, self._position)
            if match is None:
                self._position = len(text)
                return
            if match[0] == "\\":
                if match.end() == len(text):
                    self._position = match.start()
                    return
                self._position = match.end() + 1
                continue
            self._position = match.end()
            if match[0] == '"':
                self._in_string = not self._in_string
            elif self._step(match):
                yield self._start, match.end()

    def _step(self, match: re.Match[str]) -> bool:
        if match[0] == "{":
            if not self._depth:
                self._start = match.start()
            self._depth += 1
            return False
        self._depth -= 1
        return not self._depth
