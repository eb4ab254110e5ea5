"""What is loaded for a program's own model."""

from __future__ import annotations

import os

import msgspec

from pyollama.config import Settings
from pyollama.engine.spec import LoadSpec
from pyollama.errors import ModelLoadError
from pyollama.llm.source import find_model
from pyollama.runtime.devices import memory
from pyollama.runtime.fit import default_prefix_ram
from pyollama.store.model import StoredModel

DEFAULT_CONTEXT = 4096


def weights(model: StoredModel, name: str | os.PathLike[str]) -> str:
    """The path of the model's weights."""
    if model.model_path is None:
        raise ModelLoadError(f"{name}: the model has no weights on this machine")
    return str(model.model_path)


def draft_weights(
    model: StoredModel, draft: str | os.PathLike[str] | None, settings: Settings
) -> str:
    """The path of the draft model: the one that is asked for, else the model's own, or empty."""
    if draft:
        return weights(find_model(draft, settings), draft)
    return str(model.draft_path or "")


def default_context(model: StoredModel) -> int:
    trained = model.details.context_length
    return min(DEFAULT_CONTEXT, trained) if trained else DEFAULT_CONTEXT


def with_tiers(spec: LoadSpec, settings: Settings) -> LoadSpec:
    """With what the settings grant to prefixes outside the KV cache."""
    ram = settings.prefix_ram
    return msgspec.structs.replace(
        spec,
        prefix_ram=default_prefix_ram(memory()[0]) if ram is None else ram,
        prefix_disk=settings.prefix_disk,
        prefix_dir=str(settings.prefix_dir),
    )
