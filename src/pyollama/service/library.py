"""Finding the model that a request names, and the words for what cannot be found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from pyollama.errors import CloudDisabled, InvalidName, InvalidRequest, ModelNotFound
from pyollama.store.model import StoredModel
from pyollama.store.name import Name, split_source

_NO_REMOTE = "remote model is unavailable"


class Resolver(Protocol):
    """The part of the store that is needed here."""

    def resolve(self, text: str, *, files: bool = False) -> StoredModel: ...


async def find_to_run(store: Resolver, name: str, *, files: bool = False) -> StoredModel:
    """The model of a chat or completion; ``name`` is repeated in errors as it was sent.

    With ``files`` it may be a file of this machine.
    """
    if not name:
        raise ModelNotFound(f"model '{name}' not found", model=name)
    return await _find(store, name, f"model '{name}' not found", files=files)


async def find_to_unload(
    store: Resolver, name: str, running: Iterable[StoredModel], *, files: bool = False
) -> StoredModel:
    """As :func:`find_to_run`, but a model that is in memory may be deleted by now."""
    try:
        return await find_to_run(store, name, files=files)
    except ModelNotFound:
        wanted = _display(name).lower()
        for model in running:
            if model.label.lower() == wanted:
                return model
        raise


async def with_draft(store: Resolver, model: StoredModel, name: str) -> StoredModel:
    """``model`` with the draft model that a request names, if it does."""
    if not name:
        return model
    draft = await _find(store, name, f"draft model '{name}' not found")
    if draft.model_path is None or draft.model_path == model.model_path:
        raise InvalidRequest(
            f"model '{name}' cannot draft for '{model.name.short}'",
            hint="name a smaller model of the same family",
            field="options.draft_model",
        )
    return replace(model, draft_path=draft.model_path)


async def find_to_embed(store: Resolver, name: str, *, files: bool = False) -> StoredModel:
    if not name:
        raise ModelNotFound(f"model '{name}' not found", model=name)
    complaint = f'model "{name}" not found, try pulling it first'
    return await _find(store, name, complaint, files=files)


async def find_to_show(store: Resolver, name: str, *, files: bool = False) -> StoredModel:
    complaint = f"model '{_display(name)}' not found"
    what = "remote model details are unavailable"
    return await _find(store, name, complaint, what, files=files)


def refuse_cloud(name: str, what: str = _NO_REMOTE) -> None:
    """Models of ollama.com are not run from here."""
    if split_source(name)[1] == "cloud":
        raise _cloud_disabled(name, what)


def _cloud_disabled(name: str, what: str) -> CloudDisabled:
    return CloudDisabled(f"ollama cloud is disabled: {what}", model=name)


async def _find(
    store: Resolver, name: str, complaint: str, what: str = _NO_REMOTE, *, files: bool = False
) -> StoredModel:
    refuse_cloud(name, what)
    try:
        model = await asyncio.to_thread(store.resolve, name, files=files)
    except ModelNotFound as error:
        raise ModelNotFound(complaint, hint=error.hint, model=name) from error
    except InvalidName as error:
        raise InvalidName("invalid model name", name=name) from error
    if model.is_remote:
        raise _cloud_disabled(name, what)
    return model


def _display(name: str) -> str:
    try:
        return Name.parse(split_source(name)[0]).short
    except InvalidName:
        return name
