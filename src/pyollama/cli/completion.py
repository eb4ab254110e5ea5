"""What a shell offers when the name of a model is being typed."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from pyollama.client import Client
from pyollama.config import Settings
from pyollama.errors import PyollamaError

_CONNECT_SECONDS = 1.0


def stored_models(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The models that the server has; none where no server answers."""
    try:
        models = Client(Settings.load().address.url, connect_timeout=_CONNECT_SECONDS).models()
    except PyollamaError:
        return []
    typed, known = _word(ctx.params.get("arguments") or (), incomplete)
    names = (str(model["name"]).removesuffix(":latest") for model in models)
    return [CompletionItem(name[known:]) for name in names if name.startswith(typed)]


def _word(before: tuple[str, ...], incomplete: str) -> tuple[str, int]:
    """The name as typed so far, and how much of it is no part of what the shell replaces.

    For bash a colon is a word of its own.
    """
    if incomplete == ":" and before:
        return f"{before[-1]}:", len(before[-1]) + 1
    if before[-1:] == (":",) and len(before) > 1:
        return f"{before[-2]}:{incomplete}", len(before[-2]) + 1
    return incomplete, 0
