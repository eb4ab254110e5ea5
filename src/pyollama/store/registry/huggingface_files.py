"""Which files of a repository on Hugging Face make up a model.

The listing is that of ``GET /api/models/<repo>/tree/<revision>?recursive=true``, described at
https://huggingface.co/docs/hub/api. What a tag means is at https://huggingface.co/docs/hub/ollama:
a quantisation in any case, or the name of a file; without one Q4_K_M, or else a reasonable one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from pyollama.errors import ModelNotFound, StoreError
from pyollama.store.name import DEFAULT_TAG

MAX_FILES = 20_000
"""Longest listing that is read; repositories of models have hundreds of files at most."""
MAX_SHARDS = 1_000

_SHOWN = 40

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ACCOMPANYING = re.compile(r"(^|[-._])(mmproj|imatrix|mtp-|eagle3-|dflash-|dspark-)", re.IGNORECASE)
_PROJECTOR = re.compile(r"(^|[-._])mmproj", re.IGNORECASE)
_QUANTISATION = re.compile(
    r"(?:^|[-._])((?:I?Q\d|T?Q\d|BF16|FP?16|FP?32|MXFP4|NVFP4)(?:_[A-Z0-9]+)*)$", re.IGNORECASE
)

# Without a wish: four bits, then more, then fewer, and whole numbers last.
_PREFERRED = (
    "Q4_K_M Q4_K_S Q4_K_L Q4_K_XL IQ4_NL IQ4_XS Q4_0 Q4_1 MXFP4_MOE MXFP4 "
    "Q5_K_M Q5_K_S Q5_0 Q6_K Q8_0 Q3_K_L Q3_K_M Q3_K_S IQ3_M Q2_K BF16 F16"
).split()
_PREFERRED_PROJECTORS = ("F16", "BF16", "Q8_0", "F32")


class RepositoryFile(NamedTuple):
    """``digest`` is empty for small files, which are kept without one. ``size`` is in bytes."""

    path: str
    size: int
    digest: str = ""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Weights:
    """One set of weights: a file, or all shards of it in order. ``stem`` is the name they share."""

    stem: str
    folder: str
    files: tuple[RepositoryFile, ...]

    @property
    def quantisation(self) -> str:
        found = _QUANTISATION.search(self.stem)
        return found[1].upper() if found else ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to fetch. ``texts`` are the small files that change how the model is used."""

    weights: Weights
    projector: RepositoryFile | None
    texts: dict[str, RepositoryFile] = field(default_factory=dict)

    @property
    def files(self) -> tuple[RepositoryFile, ...]:
        """The large files, in the order they are fetched."""
        return (*self.weights.files, *((self.projector,) if self.projector else ()))


class _Pointer(msgspec.Struct):
    oid: str
    size: int


class _Entry(msgspec.Struct):
    type: str
    path: str
    size: int = 0
    lfs: _Pointer | None = None


def parse_listing(data: bytes) -> list[RepositoryFile]:
    """The files in one page of a listing; folders, and files of unknown content, are left out."""
    try:
        entries = msgspec.json.decode(data, type=list[_Entry])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"the list of files is not valid: {error}") from error
    found = (_file(entry) for entry in entries if entry.type == "file")
    return [file for file in found if file is not None]


def _file(entry: _Entry) -> RepositoryFile | None:
    parts = entry.path.split("/")
    if not all(parts) or {".", ".."} & set(parts):
        return None
    if "\\" in entry.path or not entry.path.isprintable():
        return None
    if entry.lfs is None:
        return RepositoryFile(entry.path, entry.size) if entry.size >= 0 else None
    if not _SHA256.fullmatch(entry.lfs.oid) or not 0 < entry.lfs.size < 1 << 60:
        return None
    return RepositoryFile(entry.path, entry.lfs.size, f"sha256:{entry.lfs.oid}")


def choose(files: Sequence[RepositoryFile], tag: str) -> Choice:
    """The files that ``tag`` means; :class:`ModelNotFound` says what else there is."""
    every = _weights(files)
    if not every:
        raise ModelNotFound(
            "the repository has no GGUF files: choose one that has, their names often end in -GGUF"
        )
    weights = _default(every) if tag.lower() == DEFAULT_TAG else _tagged(every, tag)
    texts = {file.name: file for file in files if file.path in ("template", "system", "params")}
    return Choice(weights, _projector(files, weights), texts)


def _weights(files: Iterable[RepositoryFile]) -> list[Weights]:
    """All complete sets of weights, by name."""
    single: list[Weights] = []
    shards: dict[tuple[str, str, int], dict[int, RepositoryFile]] = defaultdict(dict)
    for file in files:
        if not file.digest or not file.name.lower().endswith(".gguf"):
            continue
        stem = file.name[: -len(".gguf")]
        if _ACCOMPANYING.search(stem):
            continue
        found = _SHARD.search(stem)
        if found is None:
            single.append(Weights(stem, file.folder, (file,)))
        elif 0 < int(found[1]) <= int(found[2]) <= MAX_SHARDS:
            key = (stem[: found.start()], file.folder, int(found[2]))
            shards[key][int(found[1])] = file
    complete = [
        Weights(stem, folder, tuple(found[number] for number in range(1, count + 1)))
        for (stem, folder, count), found in shards.items()
        if len(found) == count
    ]
    return sorted([*single, *complete], key=lambda each: (len(each.stem), each.folder, each.stem))


def _default(every: Sequence[Weights]) -> Weights:
    for wanted in _PREFERRED:
        for weights in every:
            if weights.quantisation == wanted:
                return weights
    return every[0]


def _tagged(every: Sequence[Weights], tag: str) -> Weights:
    """By file name, else by the end of the name, else by a part of it or by its folder."""
    wanted = tag.lower()
    end = re.compile(rf"(^|[-._]){re.escape(wanted)}$")
    part = re.compile(rf"(^|[-._/]){re.escape(wanted)}($|[-._/])")
    for fits in (
        lambda each: wanted in _file_names(each),
        lambda each: end.search(each.stem.lower()),
        lambda each: part.search(f"{each.folder}/{each.stem}".lower()),
    ):
        for weights in every:
            if fits(weights):
                return weights
    known = sorted({weights.quantisation or weights.stem for weights in every})
    raise ModelNotFound(
        f"the repository has no file for the tag {tag!r}, but for {', '.join(known[:_SHOWN])}"
    )


def _file_names(weights: Weights) -> set[str]:
    names = {weights.stem, f"{weights.stem}.gguf", *(file.name for file in weights.files)}
    return {name.lower() for name in names}


def _projector(files: Iterable[RepositoryFile], weights: Weights) -> RepositoryFile | None:
    """The projector nearest to the weights, in the best form for one."""
    found = [
        file
        for file in files
        if file.digest
        and file.name.lower().endswith(".gguf")
        and _PROJECTOR.search(file.name)
        and f"{weights.folder}/".startswith(f"{file.folder}/" if file.folder else "")
    ]

    def rank(file: RepositoryFile) -> tuple[int, int, str]:
        kind = Weights(file.name[: -len(".gguf")], "", ()).quantisation
        known = kind in _PREFERRED_PROJECTORS
        place = _PREFERRED_PROJECTORS.index(kind) if known else len(_PREFERRED_PROJECTORS)
        return (-len(file.folder), place, file.name)

    return min(found, key=rank, default=None)
