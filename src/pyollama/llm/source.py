"""From what a program calls a model to the files of it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from pyollama import builtin
from pyollama.config import Settings
from pyollama.errors import ModelNotFound
from pyollama.store.builtin import Builtin
from pyollama.store.gguf import read_gguf
from pyollama.store.manifest import MODEL, Layer, Manifest
from pyollama.store.model import StoredModel
from pyollama.store.model_config import ModelConfig
from pyollama.store.name import Name
from pyollama.store.store import Store


def find_model(model: str | os.PathLike[str], settings: Settings) -> StoredModel:
    """A path (anything path-like, or text that ends in ``.gguf``) or a name in the store."""
    if isinstance(model, str) and not model.endswith(".gguf"):
        shipped = settings.builtin and builtin.is_complete()
        return Store(settings.models, builtin=Builtin(builtin.FOLDER) if shipped else None).resolve(
            model
        )
    path = Path(model)
    if not path.is_file():
        raise ModelNotFound(f"{path}: there is no such file", model=str(path))
    return _model_of_file(path)


def _model_of_file(path: Path) -> StoredModel:
    """A model that is in no store: nothing but its weights."""
    status = path.stat()
    layer = Layer(media_type=MODEL, digest="", size=status.st_size)
    return StoredModel(
        name=Name.parse("file"),
        digest=str(path),
        modified_at=datetime.fromtimestamp(status.st_mtime, UTC),
        manifest=Manifest(layer, ()),
        config=ModelConfig(),
        model_path=path,
        metadata=read_gguf(path).metadata,
    )
