"""Looking for damage: what is on disk against what the names and the manifests say."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyollama.errors import PyollamaError, StoreError
from pyollama.store.blobs import Blobs
from pyollama.store.digest import from_file_name
from pyollama.store.files import disk_errors
from pyollama.store.manifest import Layer, parse_manifest
from pyollama.store.manifest_tree import ManifestTree
from pyollama.store.model_config import MAX_BYTES, parse_config
from pyollama.types import Progress

_CHUNK = 4 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing.

    ``subject`` is a digest or the name of a model, ``problem`` is empty if all is well, ``models``
    are those that need it, and ``size`` is in bytes.
    """

    subject: str
    models: tuple[str, ...]
    problem: str = ""
    size: int = 0


Users = Mapping[str, tuple[str, ...]]
"""The names of the models that need a blob, by its digest."""


def missing(tree: ManifestTree, blobs: Blobs) -> Iterator[Finding]:
    """Damage that shows without reading any blob: in manifests, and of lengths."""
    yield from _survey(tree, blobs)[1]


def verify(tree: ManifestTree, blobs: Blobs) -> Iterator[Finding | Progress]:
    """Check everything, which means to read every blob; progress comes in between.

    ``total`` and ``completed`` of the progress are the bytes of one blob.
    """
    users, damaged = _survey(tree, blobs)
    known = {finding.subject for finding in damaged}
    yield from damaged
    for path in _finished(blobs.folder):
        digest = from_file_name(path.name)
        if digest and digest not in known:
            yield from _check(path, digest, users.get(digest, ()))


def _survey(tree: ManifestTree, blobs: Blobs) -> tuple[Users, list[Finding]]:
    users: dict[str, list[str]] = defaultdict(list)
    sizes: dict[str, int] = {}
    damaged = []
    for name in tree.names():
        try:
            manifest = parse_manifest(tree.read(name))
        except PyollamaError as error:
            damaged.append(Finding(name.short, (name.short,), str(error)))
            continue
        if problem := _config_problem(blobs, manifest.config):
            damaged.append(Finding(name.short, (name.short,), problem))
        for layer in manifest.blobs:
            digest = layer.digest.replace("-", ":", 1)
            sizes[digest] = layer.size
            if name.short not in users[digest]:
                users[digest].append(name.short)
    for digest, size in sizes.items():
        if problem := _misfit(blobs, digest, size):
            damaged.append(Finding(digest, tuple(users[digest]), problem))
    return {digest: tuple(names) for digest, names in users.items()}, damaged


def _config_problem(blobs: Blobs, config: Layer) -> str:
    """What is wrong with the words of a config blob that is whole, if anything."""
    if not blobs.is_whole(config.digest, config.size):
        return ""  # which is said of the blob
    try:
        parse_config(blobs.read(config.digest, MAX_BYTES))
    except PyollamaError as error:
        return error.message
    return ""


def _misfit(blobs: Blobs, digest: str, size: int) -> str:
    """What is wrong with a blob at first sight, if anything."""
    try:
        found = blobs.size(digest)
    except StoreError as error:
        return error.message.removeprefix(f"blob {digest} ")
    except PyollamaError:
        return "is missing"
    return "" if found == size else f"has {found} bytes instead of {size}"


def _finished(folder: Path) -> list[Path]:
    with disk_errors("list", folder):
        try:
            return sorted(path for path in folder.iterdir() if from_file_name(path.name))
        except FileNotFoundError:
            return []


def _check(path: Path, digest: str, models: tuple[str, ...]) -> Iterator[Finding | Progress]:
    content = hashlib.sha256()
    try:
        with disk_errors("read", path), path.open("rb") as file:
            total, done = os.fstat(file.fileno()).st_size, 0
            while chunk := file.read(_CHUNK):
                content.update(chunk)
                done += len(chunk)
                yield Progress(f"verifying {digest[:19]}", digest, total, done)
    except StoreError as error:
        if os.path.lexists(path):  # else it was deleted just now
            yield Finding(digest, models, error.message)
        return
    sound = content.hexdigest() == digest.removeprefix("sha256:").lower()
    problem = "" if sound else f"has other content, of digest sha256:{content.hexdigest()}"
    yield Finding(digest, models, problem, done)
