"""The model that ships inside the package, seen as one of the store.

It is a folder with a Modelfile and the GGUF file that its FROM line names. Nothing of it is in the
store until another model is made from it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import msgspec

from pyollama.store import manifest as media
from pyollama.store.blobs import Blobs, Pins
from pyollama.store.digest import digest_of, file_digest
from pyollama.store.files import disk_errors, read_file
from pyollama.store.gguf import GGUFHeader, read_gguf
from pyollama.store.layers import describe, messages_bytes, params_bytes, text_bytes
from pyollama.store.manifest import CONFIG_TYPE, Layer, Manifest, format_manifest
from pyollama.store.model import StoredModel
from pyollama.store.model_config import ModelConfig, format_config
from pyollama.store.modelfile import Modelfile, parse_modelfile
from pyollama.store.name import Name
from pyollama.store.texts import MAX_TEXT
from pyollama.types import Message

NAME = Name.parse("builtin")


class Builtin:
    """The model in ``folder``. Reading and hashing wait until it is looked at."""

    def __init__(self, folder: Path, name: Name = NAME) -> None:
        self.name = name
        self._folder = folder

    @cached_property
    def model(self) -> StoredModel:
        modelfile, manifest = self._modelfile, self._manifest
        with disk_errors("read", self._path):
            written = self._path.stat().st_mtime
        data = format_manifest(manifest)
        return StoredModel(
            name=self.name,
            digest=digest_of(data).removeprefix("sha256:"),
            modified_at=datetime.fromtimestamp(written, UTC),
            manifest=manifest,
            config=self._config,
            model_path=self._path,
            template=modelfile.last("template") or None,
            system=modelfile.last("system"),
            params=dict(modelfile.parameters),
            messages=_messages(modelfile),
            licenses=modelfile.all("license"),
            metadata=self._header.metadata,
        )

    def missing_in(self, blobs: Blobs) -> set[str]:
        """The digests of those of its blobs that are not in the store."""
        return {layer.digest for layer in self._manifest.blobs if not blobs.has(layer.digest)}

    def store_in(self, blobs: Blobs, pins: Pins) -> bytes:
        """Put all of its blobs into the store; the manifest that goes with them."""
        pins.add(layer.digest for layer in self._manifest.blobs)
        if not blobs.has(self._weights.digest):
            blobs.copy_in(self._path)
        for _, data in self._texts:
            blobs.put(data)
        blobs.put(format_config(self._config))
        return format_manifest(self._manifest)

    @cached_property
    def _modelfile(self) -> Modelfile:
        return parse_modelfile(read_file(self._folder / "Modelfile", MAX_TEXT))

    @cached_property
    def _path(self) -> Path:
        return self._folder / self._modelfile.sources[0]

    @cached_property
    def _header(self) -> GGUFHeader:
        return read_gguf(self._path)

    @cached_property
    def _weights(self) -> Layer:
        with disk_errors("read", self._path):
            return Layer(media.MODEL, file_digest(self._path), self._path.stat().st_size)

    @cached_property
    def _texts(self) -> list[tuple[str, bytes]]:
        modelfile = self._modelfile
        texts = [
            (kind, text_bytes(text, instruction))
            for kind, instruction in ((media.TEMPLATE, "template"), (media.SYSTEM, "system"))
            if (text := modelfile.last(instruction))
        ]
        texts += [(media.LICENSE, text_bytes(text, "license")) for text in modelfile.all("license")]
        if modelfile.parameters:
            texts.append((media.PARAMS, params_bytes(modelfile.parameters)))
        if modelfile.messages:
            texts.append((media.MESSAGES, messages_bytes(_messages(modelfile))))
        return texts

    @cached_property
    def _config(self) -> ModelConfig:
        said = ModelConfig(
            renderer=self._modelfile.last("renderer"), parser=self._modelfile.last("parser")
        )
        return msgspec.structs.replace(said, **describe(said, [(media.MODEL, self._header)]))

    @cached_property
    def _manifest(self) -> Manifest:
        texts = tuple(Layer(kind, digest_of(data), len(data)) for kind, data in self._texts)
        config = format_config(self._config)
        return Manifest(Layer(CONFIG_TYPE, digest_of(config), len(config)), (self._weights, *texts))


def _messages(modelfile: Modelfile) -> tuple[Message, ...]:
    return tuple(Message(role=role, content=text) for role, text in modelfile.messages)
