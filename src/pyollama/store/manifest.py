"""Manifests: the JSON files that say which blobs make up a model."""

from __future__ import annotations

import hashlib

import msgspec

from pyollama.errors import InvalidManifest
from pyollama.store.digest import is_digest
from pyollama.store.jsontext import encode_json

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"

_OLLAMA = "application/vnd.ollama.image."
MODEL = _OLLAMA + "model"
PROJECTOR = _OLLAMA + "projector"
ADAPTER = _OLLAMA + "adapter"
DRAFT = _OLLAMA + "draft"
TEMPLATE = _OLLAMA + "template"
OLD_TEMPLATE = _OLLAMA + "prompt"
SYSTEM = _OLLAMA + "system"
PARAMS = _OLLAMA + "params"
MESSAGES = _OLLAMA + "messages"
LICENSE = _OLLAMA + "license"

MAX_BYTES = 16 << 20
"""The longest manifest that is read. Models stored tensor by tensor have thousands of layers."""

MAX_LAYERS = 20_000

_MAX_SIZE = 1 << 60
"""Bytes, of one blob and of all together, so that every sum fits into 64 bits."""


class Layer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One blob and what it is for; unknown media types are kept. ``size`` is in bytes.

    ``origin`` (``from`` on disk) names the model that the layer was taken from.
    """

    media_type: str = msgspec.field(name="mediaType")
    digest: str
    size: int
    origin: str = msgspec.field(name="from", default="")
    name: str = ""


class Manifest(msgspec.Struct, frozen=True):
    config: Layer
    layers: tuple[Layer, ...]

    @property
    def blobs(self) -> tuple[Layer, ...]:
        """All that the model needs on disk, in the order of a transfer."""
        return (*self.layers, self.config)

    @property
    def size(self) -> int:
        return sum(layer.size for layer in self.blobs)

    def of_type(self, *media_types: str) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.media_type in media_types)


class _Document(msgspec.Struct):
    """A manifest as it stands in the file; writers in Go spell an empty list ``null``."""

    schemaVersion: int
    mediaType: str
    config: Layer
    layers: tuple[Layer, ...] | None = None


def parse_manifest(data: bytes) -> Manifest:
    """The manifest in ``data``; :class:`InvalidManifest` if it is not a sound one."""
    if len(data) > MAX_BYTES:
        raise InvalidManifest(f"manifest is longer than {MAX_BYTES} bytes")
    try:
        document = msgspec.json.decode(data, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidManifest(f"manifest is not valid: {error}") from error
    manifest = Manifest(document.config, document.layers or ())
    if len(manifest.layers) > MAX_LAYERS:
        raise InvalidManifest(f"manifest has {len(manifest.layers)} layers, more than {MAX_LAYERS}")
    for layer in manifest.blobs:
        if not is_digest(layer.digest):
            raise InvalidManifest(
                f"manifest names a blob {layer.digest[:200]!r}, which is no digest"
            )
        if not 0 <= layer.size <= _MAX_SIZE:
            raise InvalidManifest(f"manifest gives blob {layer.digest} the size {layer.size}")
    if manifest.size > _MAX_SIZE:
        raise InvalidManifest(f"manifest claims {manifest.size} bytes for all blobs together")
    return manifest


def format_manifest(manifest: Manifest) -> bytes:
    """``manifest`` as Ollama writes it, newline included."""
    return encode_json(_Document(2, MANIFEST_TYPE, manifest.config, manifest.layers))


def model_digest(data: bytes) -> str:
    """The digest that identifies a model: that of its manifest's bytes, without a prefix."""
    return hashlib.sha256(data).hexdigest()
