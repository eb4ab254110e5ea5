"""Stop texts: where an answer ends before the model ends it."""

from __future__ import annotations

from collections.abc import Iterable


class StopFilter:
    """Passes text on until a stop text is complete, and never lets a part of one out.

    The first stop text to be complete wins; of several that are complete at the same character,
    the longest. So the answer does not depend on how the text was cut into pieces. While the end of
    the text may still become a stop text, everything fed is held back, so that what comes out
    stands for whole pieces. An empty stop text ends the answer before its first character.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(dict.fromkeys(stops))
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self._seen = 0  # characters of the held text that cannot complete a stop text any more
        self.matched: str | None = None

    def feed(self, text: str) -> str:
        """The text that may go out. After a match it is the rest before the stop text."""
        if self.matched is not None:
            return ""
        if not self._stops:
            return text
        self._held += text
        match = self._first_match()
        if match is not None:
            start, self.matched = match
            return self._take()[:start]
        self._seen = len(self._held)
        return "" if self._may_continue() else self._take()

    def flush(self) -> str:
        """What was held back in vain."""
        return "" if self.matched is not None else self._take()

    def _first_match(self) -> tuple[int, str] | None:
        if "" in self._stops:
            return 0, ""
        best: tuple[int, int, str] | None = None
        since = max(0, self._seen - self._longest + 1)
        for stop in self._stops:
            start = self._held.find(stop, since)
            if start >= 0 and (best is None or (start + len(stop), start) < best[:2]):
                best = (start + len(stop), start, stop)
        return None if best is None else (best[1], best[2])

    def _may_continue(self) -> bool:
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(self._held)), 0, -1):
                if self._held.endswith(stop[:size]):
                    return True
        return False

    def _take(self) -> str:
        text, self._held, self._seen = self._held, "", 0
        return text
