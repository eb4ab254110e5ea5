"""Keeping a transfer below a number of bytes per second."""

from __future__ import annotations

import threading
import time


class Limiter:
    """Shared by the threads of a transfer. ``rate`` is bytes per second, 0 no limit."""

    def __init__(self, rate: int = 0) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, count: int) -> float:
        """Seconds to wait after ``count`` bytes came or before they go."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._rate
            return self._free_at - now
