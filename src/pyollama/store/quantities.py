"""Counts as people read them."""

from __future__ import annotations


def human_count(count: int) -> str:
    """Three digits and a unit: ``2.71M``, ``13.0B``; thousands without decimals, below as is."""
    for unit, factor in (("T", 10**12), ("B", 10**9), ("M", 10**6)):
        if count >= factor:
            value = count / factor
            decimals = 0 if value >= 100 else 1 if value >= 10 else 2
            return f"{value:.{decimals}f}{unit}"
    return f"{count / 1000:.0f}K" if count >= 1000 else str(count)
