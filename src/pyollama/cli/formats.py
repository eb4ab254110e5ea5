"""How the command line writes sizes, counts, times and tables.

The forms are those of Ollama's command line, because scripts read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

_GAP = " " * 4
_DAY = 86400
# (one more than this is told in the next unit, seconds, unit)
_SPANS = (
    (60, 1, "second"),
    (60, 60, "minute"),
    (48, 3600, "hour"),
    (14, _DAY, "day"),
    (60 // 7, 7 * _DAY, "week"),
    (24, 30 * _DAY, "month"),
    (10**6, 365 * _DAY, "year"),
)


def size(n: int) -> str:
    """Bytes with decimal units: ``812 B``, ``2 GB``, ``9.6 GB``, ``274 MB``."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if n >= factor:
            value = n / factor
            if value >= 10 or n % factor == 0:
                return f"{int(value)} {unit}"
            return f"{value:.1f} {unit}"
    return f"{n} B"


def count(n: int) -> str:
    """A number of things: ``8B``, ``8.0B``, ``137.02M``, ``82K``, ``512``."""
    if n >= 10**9:
        return f"{n // 10**9}B" if n % 10**9 == 0 else f"{n / 10**9:.1f}B"
    if n >= 10**6:
        return f"{n // 10**6}M" if n % 10**6 == 0 else f"{n / 10**6:.2f}M"
    if n >= 10**3:
        return f"{n / 10**3:.0f}K"
    return str(n)


def relative_time(then: datetime, now: datetime) -> str:
    """``5 minutes ago``, ``About an hour from now``; far futures are ``Forever``."""
    if then.year <= 1:
        return "Never"
    if then - now > timedelta(days=20 * 365):
        return "Forever"
    span = _span(abs((now - then).total_seconds()))
    return f"{span} from now" if then > now else f"{span} ago"


def _span(seconds: float) -> str:
    if seconds < 1:
        return "Less than a second"
    if seconds < 2:
        return "1 second"
    for limit, seconds_each, unit in _SPANS:
        # Hours are rounded, all else is cut.
        n = round(seconds / seconds_each) if unit == "hour" else int(seconds // seconds_each)
        if n < limit:
            break
    if n == 1 and unit in ("minute", "hour"):
        return f"About {'an' if unit == 'hour' else 'a'} {unit}"
    return f"{n} {unit}s"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns four blanks apart, ending with a newline."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [_GAP.join(cell.ljust(w) for cell, w in zip(header, widths, strict=True)) + " "]
    for row in rows:
        cells = (cell.ljust(w) for cell, w in zip(row, widths, strict=True))
        lines.append("".join(cell + _GAP for cell in cells))
    return "\n".join(lines) + "\n"
