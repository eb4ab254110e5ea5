"""A model out of the store: its manifest and everything the small blobs of it say."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pyollama.errors import StoreError
from pyollama.store import manifest as media
from pyollama.store.blobs import Blobs
from pyollama.store.gguf import Value, read_gguf
from pyollama.store.manifest import Manifest, model_digest, parse_manifest
from pyollama.store.model_config import MAX_BYTES as CONFIG_LIMIT
from pyollama.store.model_config import ModelConfig, parse_config
from pyollama.store.name import DEFAULT_TAG, FILE_HOST, Name
from pyollama.store.texts import Texts
from pyollama.types import Message

log = logging.getLogger(__name__)

FILE_TYPES = (media.MODEL, media.PROJECTOR, media.ADAPTER, media.DRAFT)
"""The media types of large files, which are used where they are."""


@dataclass(frozen=True, slots=True)
class Details:
    """A short description. Lengths are 0 when nothing says them."""

    parent_model: str
    format: str
    family: str
    families: tuple[str, ...]
    parameter_size: str
    quantization_level: str
    context_length: int
    embedding_length: int


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One model, ready to be loaded, listed or shown.

    ``digest`` is that of the manifest, in hexadecimal. ``template`` is a Go template. ``metadata``
    is that of the weights; it is empty, and ``missing`` is not, when a blob is not there.
    A stub of a model on another server has no ``model_path``.
    """

    name: Name
    digest: str
    modified_at: datetime
    manifest: Manifest
    config: ModelConfig
    model_path: Path | None = None
    projector_paths: tuple[Path, ...] = ()
    adapter_paths: tuple[Path, ...] = ()
    draft_path: Path | None = None
    template: str | None = None
    system: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    licenses: tuple[str, ...] = ()
    metadata: Mapping[str, Value] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return self.manifest.size

    @property
    def label(self) -> str:
        """What to call it by: its name, or the path of a file that is in no store."""
        outside = self.name.host == FILE_HOST and self.model_path is not None
        return str(self.model_path) if outside else self.name.short

    @property
    def architecture(self) -> str:
        value = self.metadata.get("general.architecture")
        return value if isinstance(value, str) else ""

    @property
    def chat_template(self) -> str:
        """The Jinja template of the weights, or an empty text."""
        value = self.metadata.get("tokenizer.chat_template")
        return value if isinstance(value, str) else ""

    @property
    def is_remote(self) -> bool:
        return bool(self.config.remote_host)

    @property
    def details(self) -> Details:
        config = self.config
        return Details(
            parent_model=_parent(self.manifest),
            format=config.model_format,
            family=config.model_family,
            families=config.model_families,
            parameter_size=config.model_type,
            quantization_level=config.file_type,
            context_length=config.context_length or self._number("context_length"),
            embedding_length=config.embedding_length or self._number("embedding_length"),
        )

    def _number(self, key: str) -> int:
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) and value > 0 else 0


def read_model(name: Name, data: bytes, modified_at: datetime, blobs: Blobs) -> StoredModel:
    """The model of the manifest ``data``. Large blobs may be missing, small ones may not."""
    manifest = parse_manifest(data)
    texts = Texts(manifest.layers, blobs)
    config = parse_config(blobs.read(manifest.config.digest, CONFIG_LIMIT))
    files = {kind: _paths(manifest, kind, blobs) for kind in FILE_TYPES}
    model_path = next(reversed(files[media.MODEL]), None)
    return StoredModel(
        name=name,
        digest=model_digest(data),
        modified_at=modified_at,
        manifest=manifest,
        config=config,
        model_path=model_path,
        projector_paths=files[media.PROJECTOR],
        adapter_paths=files[media.ADAPTER],
        draft_path=next(reversed(files[media.DRAFT]), None),
        template=texts.last(media.TEMPLATE, media.OLD_TEMPLATE),
        system=texts.last(media.SYSTEM) or "",
        params=texts.params(),
        messages=texts.messages(),
        licenses=texts.all(media.LICENSE),
        metadata=_metadata(name, model_path),
        missing=missing_files(manifest, blobs),
    )


def missing_files(manifest: Manifest, blobs: Blobs) -> tuple[str, ...]:
    """The digests of large blobs that are not in the store."""
    return tuple(
        layer.digest for layer in manifest.of_type(*FILE_TYPES) if not blobs.has(layer.digest)
    )


def _paths(manifest: Manifest, kind: str, blobs: Blobs) -> tuple[Path, ...]:
    return tuple(blobs.path(layer.digest) for layer in manifest.of_type(kind))


def _metadata(name: Name, path: Path | None) -> Mapping[str, Value]:
    if path is None or not path.exists():
        return {}
    try:
        return read_gguf(path).metadata
    except StoreError as error:  # it can be listed and deleted all the same
        log.warning("model %s: %s", name.short, error)
        return {}


def _parent(manifest: Manifest) -> str:
    """Where the weights came from: a model, with its tag."""
    origins = [layer.origin for layer in manifest.of_type(media.MODEL) if layer.origin]
    if not origins:
        return ""
    has_tag = ":" in origins[-1].rpartition("/")[2]
    return origins[-1] if has_tag else f"{origins[-1]}:{DEFAULT_TAG}"
