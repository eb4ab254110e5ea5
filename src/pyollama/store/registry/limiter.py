"""Keeping a transfer below a number of bytes per second."""

from __future__ import annotations

import threading
import time

_CREDIT = 0.5
"""Seconds that may be made up for after a time in which less came than was allowed."""


class Limiter:
    """Shared by the threads of a transfer. ``rate`` is bytes per second, 0 no limit."""

    def __init__(self, rate: int = 0) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at: float | None = None

    def take(self, count: int) -> float:
        """Seconds to wait after ``count`` bytes came or before they go."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = time.monotonic()
            behind = now if self._free_at is None else max(self._free_at, now - _CREDIT)
            self._free_at = behind + count / self._rate
            return max(self._free_at - now, 0.0)
