"""Checks of a command's positional arguments, in the words scripts know from Ollama."""

from __future__ import annotations

import click

THINK_LEVELS = ("high", "medium", "low", "max")


def exactly(n: int, given: tuple[str, ...]) -> tuple[str, ...]:
    if len(given) != n:
        raise click.UsageError(f"accepts {n} arg(s), received {len(given)}")
    return given


def at_least(n: int, given: tuple[str, ...]) -> tuple[str, ...]:
    if len(given) < n:
        raise click.UsageError(f"requires at least {n} arg(s), only received {len(given)}")
    return given
