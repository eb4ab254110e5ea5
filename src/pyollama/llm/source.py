"""From what a program calls a model to the files of it."""

from __future__ import annotations

import os
from pathlib import Path

from pyollama import builtin
from pyollama.config import Settings
from pyollama.errors import ModelNotFound
from pyollama.store.aliases import Aliases
from pyollama.store.builtin import Builtin
from pyollama.store.elsewhere import Folders, model_of_file, parts_of
from pyollama.store.model import StoredModel
from pyollama.store.store import Store


def find_model(model: str | os.PathLike[str], settings: Settings) -> StoredModel:
    """A path (anything path-like, or text that ends in ``.gguf``) or a name.

    Names are those of the store, aliases, and models that other programs have downloaded.
    """
    if isinstance(model, str) and not model.endswith(".gguf"):
        shipped = settings.builtin and builtin.is_complete()
        store = Store(
            settings.models,
            builtin=Builtin(builtin.FOLDER) if shipped else None,
            aliases=Aliases.of(settings.aliases, "PYOLLAMA_ALIASES"),
            folders=Folders(settings.hugging_face, settings.lm_studio),
        )
        return store.resolve(model, files=True)
    path = Path(model).absolute()
    if not path.is_file():
        raise ModelNotFound(f"{path}: there is no such file", model=str(path))
    return model_of_file(parts_of(path))
