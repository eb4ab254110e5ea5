"""How long to go on trying."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx


@dataclass(frozen=True, slots=True)
class Patience:
    """Tries in a row that may fail, and the pauses between them in seconds.

    A pause doubles each time, varies by chance so that clients do not come back all at once, and
    is at least what the server asked for, as long as that is not unreasonable.
    """

    tries: int = 8
    first: float = 0.5
    longest: float = 30.0
    longest_asked: float = 300.0

    def pause(self, failures: int, asked: float = 0.0) -> float:
        """Seconds to wait after this many failures in a row."""
        doubled = min(self.first * 2.0 ** min(failures - 1, 32), self.longest)
        return max(doubled * random.uniform(0.75, 1.25), min(asked, self.longest_asked))


def retry_after(response: httpx.Response, now: float | None = None) -> float:
    """The seconds that ``Retry-After`` asks for, a number or a date; 0 if it does not."""
    value = response.headers.get("retry-after", "").strip()[:64]
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - (time.time() if now is None else now)
    except (ValueError, TypeError, OverflowError, OSError):
        return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


def is_passing(status: int) -> bool:
    """Whether the same request may well succeed a little later."""
    return status in (408, 425, 429) or 500 <= status <= 599
