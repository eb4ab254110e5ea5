"""Models that are not in the store: used where they are, without a copy.

They are GGUF files by their path, or in the folders where other programs keep their downloads:

    /path/to/model.gguf                 a file; of a split model its first part
    /path/to/folder                     a folder that holds one model
    hf.co/<user>/<repo>[:<quant>]       in the cache of Hugging Face (also huggingface.co/...)
    lmstudio/<publisher>/<repo>[:...]   in the models of LM Studio
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from pyollama.errors import InvalidRequest, ModelNotFound
from pyollama.store import manifest as media
from pyollama.store.files import disk_errors
from pyollama.store.gguf import is_gguf, read_gguf
from pyollama.store.layers import describe, media_type
from pyollama.store.manifest import Layer, Manifest
from pyollama.store.model import StoredModel
from pyollama.store.model_config import ModelConfig
from pyollama.store.name import DEFAULT_TAG, FILE_HOST, Name
from pyollama.store.quantities import human_count

LM_STUDIO = "lmstudio"
HUGGING_FACE = ("hf.co", "huggingface.co")

_PREFERRED = "Q4_K_M"
_SPLIT = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_QUANTISATION = re.compile(r"i?q\d|b?f\d|tq\d|mxfp", re.IGNORECASE)
_REVISION = re.compile(r"[0-9A-Za-z_-]{1,100}")
_MAX_FILES = 10_000
_KEPT = 64


class Folders(NamedTuple):
    """Where other programs keep models."""

    hugging_face: Path
    lm_studio: tuple[Path, ...] = ()


class Elsewhere:
    """Models outside of the store. Safe to use from several threads."""

    def __init__(self, folders: Folders | None = None) -> None:
        self._folders = folders
        self._known: dict[Path, StoredModel] = {}

    def at_path(self, text: str) -> StoredModel | None:
        """The model at an absolute path; ``None`` if there is nothing that could be one."""
        path = Path(text)
        if not path.is_absolute():
            return None
        if os.path.isdir(path):  # noqa: PTH112 - False too for names a disk cannot have
            chosen = choose(path, DEFAULT_TAG)
            return self._model(chosen) if chosen else None
        if os.path.isfile(path) and is_gguf(path):  # noqa: PTH113
            return self._model(path)
        if path.suffix.lower() == ".gguf":
            raise ModelNotFound(f"{text}: there is no GGUF file", model=text)
        return None

    def cached(self, name: Name) -> StoredModel | None:
        """The model that another program has fetched under ``name``."""
        if self._folders is None:
            return None
        for folder in _repositories(self._folders, name):
            if chosen := choose(folder, name.tag):
                return self._model(chosen, name)
        return None

    def _model(self, path: Path, name: Name | None = None) -> StoredModel:
        parts = parts_of(path)
        known = self._known.get(path)
        if known is None or known.digest != _stamp(parts):
            if len(self._known) >= _KEPT:
                self._known.clear()
            known = self._known[path] = model_of_file(parts)
        return replace(known, name=name) if name else known


def choose(folder: Path, tag: str) -> Path | None:
    """The file in or below ``folder`` that ``tag`` means: a quantisation, or the only model.

    With the default tag the usual quantisation is taken where there are several.
    """
    found = sorted(_models_below(folder))
    wanted = found
    if tag != DEFAULT_TAG:
        wanted = [path for path in found if _fits(path, tag)]
    elif len(found) > 1:
        wanted = [path for path in found if _fits(path, _PREFERRED)]
    if len(wanted) == 1:
        return wanted[0]
    if found and len(wanted) != 1 and tag == DEFAULT_TAG:
        names = ", ".join(str(path.relative_to(folder)) for path in found[:20])
        raise InvalidRequest(
            f"{folder} holds several models: {names}", hint="name one of them", field="model"
        )
    return wanted[0] if wanted else None


def parts_of(path: Path) -> list[Path]:
    """All files of a split model by the path of the first, which may be the only one."""
    split = _SPLIT.fullmatch(path.name)
    if split is None:
        return [path]
    stem, number, count = split[1], int(split[2]), int(split[3])
    if number != 1:
        raise InvalidRequest(
            f"{path} is part {number} of a split model", hint="name its first part", field="model"
        )
    parts = [path.with_name(f"{stem}-{n:05}-of-{count:05}.gguf") for n in range(1, count + 1)]
    for part in parts:
        if not part.is_file():
            raise ModelNotFound(f"{part}: this part of the model is not there", model=str(path))
    return parts


def model_of_file(parts: Sequence[Path]) -> StoredModel:
    """The model in GGUF files; nothing is known of it but what they say.

    Its digest is not one of content: it changes with place, length and time of the files.
    """
    path, digest = parts[0], _stamp(parts)
    header = read_gguf(path)
    kind = media_type(header)
    if kind != media.MODEL:
        what = kind.rpartition(".")[2]
        raise InvalidRequest(f"{path} holds no model but: {what}", field="model")
    with disk_errors("read", path):
        written = path.stat().st_mtime
        layers = tuple(Layer(media.MODEL, "", part.stat().st_size) for part in parts)
    count = header.parameter_count + sum(read_gguf(part).parameter_count for part in parts[1:])
    said = ModelConfig(model_type=human_count(count))
    config = msgspec.structs.replace(said, **describe(said, [(media.MODEL, header)]))
    return StoredModel(
        name=Name(FILE_HOST, "local", _model_name(path), DEFAULT_TAG),
        digest=digest,
        modified_at=datetime.fromtimestamp(written, UTC),
        manifest=Manifest(Layer(media.CONFIG_TYPE, "", 0), layers),
        config=config,
        model_path=path,
        metadata=header.metadata,
    )


def _model_name(path: Path) -> str:
    """The part of a name that says most about a file."""
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip(".-")
    return stem[:80] or "model"


def _stamp(parts: Sequence[Path]) -> str:
    """Something like a digest that is another one when one of the files is."""
    content = hashlib.sha256()
    for path in parts:
        with disk_errors("read", path):
            status = path.stat()
        content.update(os.fsencode(path))
        content.update(f"\0{status.st_mtime_ns} {status.st_size} {status.st_ino}\0".encode())
    return content.hexdigest()


def _models_below(folder: Path) -> Iterator[Path]:
    """The models in a folder and the folders in it; of a split model only the first part."""
    seen = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(folders) if Path(place) == folder else []
        for name in files:
            seen += 1
            if seen > _MAX_FILES:
                return
            split = _SPLIT.fullmatch(name)
            is_first = split is None or int(split[2]) == 1
            if name.lower().endswith(".gguf") and is_first and "mmproj" not in name.lower():
                yield Path(place, name)


def _fits(path: Path, tag: str) -> bool:
    """Whether a file is of the quantisation ``tag``, or of that name."""
    if path.name.lower() in (tag.lower(), f"{tag.lower()}.gguf"):
        return True
    split = _SPLIT.fullmatch(path.name)
    stem = split[1] if split else path.stem
    before = "[-._]" if _QUANTISATION.match(tag) else "[-.]"
    return re.search(rf"(?:^|{before}){re.escape(tag)}$", stem, re.IGNORECASE) is not None


def _repositories(folders: Folders, name: Name) -> Iterator[Path]:
    """Where the files of the model may be."""
    if name.host.lower() in HUGGING_FACE:
        wanted = f"models--{name.namespace}--{name.model}"
        for repository in _alike(folders.hugging_face, wanted):
            if snapshot := _snapshot(repository):
                yield snapshot
    elif name.host.lower() == LM_STUDIO:
        for root in folders.lm_studio:
            for publisher in _alike(root, name.namespace):
                yield from _alike(publisher, name.model)


def _alike(folder: Path, name: str) -> list[Path]:
    """The folders in ``folder`` of this name, whatever its case."""
    try:
        return [path for path in sorted(folder.iterdir()) if path.name.lower() == name.lower()]
    except OSError:  # it is not there, or not for us
        return []


def _snapshot(repository: Path) -> Path | None:
    """The files of the main branch of a repository in the cache, or else the newest ones."""
    try:
        with (repository / "refs" / "main").open("rb") as file:
            revision = file.read(200).decode("ascii", "replace").strip()
    except OSError:
        revision = ""
    snapshots = repository / "snapshots"
    if _REVISION.fullmatch(revision) and (snapshots / revision).is_dir():
        return snapshots / revision
    try:
        return max(snapshots.iterdir(), key=lambda path: path.stat().st_mtime, default=None)
    except OSError:
        return None
