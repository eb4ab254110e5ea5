"""Models put straight into the folder of a registry, as if somebody had pushed them."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

from pyollama.store.manifest import (
    CONFIG_TYPE,
    MODEL,
    PARAMS,
    Layer,
    Manifest,
    format_manifest,
)

_PIECE = 16 << 20
_CONFIG = b'{"model_format":"gguf","model_family":"llama"}\n'


@dataclass(frozen=True, slots=True)
class Planted:
    """A model in a registry: its manifest's bytes and its blobs by digest."""

    manifest: bytes
    weights: str
    blobs: dict[str, bytes]

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.manifest).hexdigest()

    @property
    def data(self) -> bytes:
        """The weights, which are only noise."""
        return self.blobs[self.weights]


def plant(
    storage: Path, repository: str, size: int, *, seed: int = 0, tag: str = "latest"
) -> Planted:
    """A model with ``size`` bytes of weights, which contain no zeros."""
    chance = random.Random(seed)
    pieces = (chance.randbytes(min(size - at, _PIECE)) for at in range(0, size, _PIECE))
    noise = b"".join(pieces).replace(b"\0", b"\1")
    kinds = ((MODEL, noise), (PARAMS, b'{"temperature":0.5}\n'), (CONFIG_TYPE, _CONFIG))
    layers = [Layer(kind, _digest(data), len(data)) for kind, data in kinds]
    manifest = format_manifest(Manifest(layers[-1], tuple(layers[:-1])))
    root = storage / "docker/registry/v2"
    below = root / "repositories" / repository
    for layer, (_, data) in zip(layers, kinds, strict=True):
        _store(root, layer.digest, data)
        _link(below / "_layers" / layer.digest.replace(":", "/"), layer.digest)
    digest = _digest(manifest)
    place = digest.replace(":", "/")
    _store(root, digest, manifest)
    _link(below / "_manifests/revisions" / place, digest)
    _link(below / "_manifests/tags" / tag / "index" / place, digest)
    _link(below / "_manifests/tags" / tag / "current", digest)
    blobs = {layer.digest: data for layer, (_, data) in zip(layers, kinds, strict=True)}
    return Planted(manifest, layers[0].digest, blobs)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _store(root: Path, digest: str, data: bytes) -> None:
    algorithm, _, digits = digest.partition(":")
    folder = root / "blobs" / algorithm / digits[:2] / digits
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").write_bytes(data)


def _link(folder: Path, digest: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "link").write_text(digest)
