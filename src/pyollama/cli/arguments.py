"""Checks of a command's positional arguments, in the words scripts know from Ollama."""

from __future__ import annotations

import click

from pyollama.durations import parse_duration

THINK_LEVELS = ("high", "medium", "low", "max")


def exactly(n: int, given: tuple[str, ...]) -> tuple[str, ...]:
    if len(given) != n:
        raise click.UsageError(f"accepts {n} arg(s), received {len(given)}")
    return given


def at_least(n: int, given: tuple[str, ...]) -> tuple[str, ...]:
    if len(given) < n:
        raise click.UsageError(f"requires at least {n} arg(s), only received {len(given)}")
    return given


def check_duration(value: str) -> str:
    """The value of ``--keepalive``, which the server reads."""
    try:
        parse_duration(value)
    except ValueError as error:
        raise click.UsageError(f"--keepalive: {error}") from error
    return value
