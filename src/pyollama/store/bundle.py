"""Bundles: models in one file, to be carried to a machine without a network.

A bundle is a tar archive in the order of its use, so that it can be written to a pipe and read from
one:

    bundle.json                 which models, and which blobs, with sizes
    manifests/<number>          the manifest of each model, byte for byte
    blobs/sha256-<hex digits>   each blob once
    SHA256SUMS                  the digest of every file before it

``tar`` unpacks it, and ``sha256sum --check SHA256SUMS`` then says whether it is whole. The reader
takes a bundle for hostile: it must be exactly this, and everything is bounded before it is read.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import msgspec

from pyollama.errors import InvalidBundle, InvalidManifest, InvalidName
from pyollama.store.digest import digest_of, is_digest
from pyollama.store.jsontext import encode_json
from pyollama.store.manifest import MAX_BYTES, Manifest, parse_manifest
from pyollama.store.name import Name

FORMAT = 1
INDEX = "bundle.json"
SUMS = "SHA256SUMS"
CHUNK = 4 << 20

_MAX_INDEX = 16 << 20
_MAX_MODELS = 10_000
_MAX_BLOBS = 100_000
_MAX_MANIFESTS = 256 << 20
_MAX_SIZE = 1 << 60
_BLOCK = tarfile.BLOCKSIZE


class BundledModel(msgspec.Struct, frozen=True):
    """A model of a bundle: its full name, and the digest and the length of its manifest."""

    name: str
    digest: str
    size: int


class BundledBlob(msgspec.Struct, frozen=True):
    digest: str
    size: int

    @property
    def path(self) -> str:
        return f"blobs/{self.digest.replace(':', '-')}"


class Index(msgspec.Struct, frozen=True):
    format: int
    models: tuple[BundledModel, ...]
    blobs: tuple[BundledBlob, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """The front of a bundle: names with the bytes and the meaning of their manifests."""

    models: tuple[tuple[Name, bytes, Manifest], ...]
    blobs: tuple[BundledBlob, ...]


class BundleWriter:
    """Writes a bundle from front to back into ``out``, which need not be able to seek."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._sums: list[str] = []

    def begin(self, models: Sequence[tuple[Name, bytes]], blobs: Sequence[BundledBlob]) -> None:
        """Everything that comes before the blobs, which then follow in this order."""
        listed = tuple(BundledModel(str(n), digest_of(data), len(data)) for n, data in models)
        self._small(INDEX, encode_json(Index(FORMAT, listed, tuple(blobs))))
        for number, (_, data) in enumerate(models):
            self._small(f"manifests/{number}", data)

    def blob(self, blob: BundledBlob, chunks: Iterable[bytes]) -> Iterator[int]:
        """One blob; yields how many bytes of it are written.

        The chunks have to be what the blob is announced to be.
        """
        self._head(blob.path, blob.size)
        content, done = hashlib.sha256(), 0
        for chunk in chunks:
            content.update(chunk)
            done += len(chunk)
            if done > blob.size:
                break
            self._out.write(chunk)
            yield done
        if done != blob.size or f"sha256:{content.hexdigest()}" != blob.digest:
            raise InvalidBundle(
                f"blob {blob.digest} is damaged and cannot be bundled",
                hint="'pyollama store verify' says which models need it",
            )
        self._tail(blob.size)
        self._sums.append(f"{content.hexdigest()}  {blob.path}\n")

    def finish(self) -> None:
        data = "".join(self._sums).encode()
        self._head(SUMS, len(data))
        self._out.write(data)
        self._tail(len(data))
        self._out.write(bytes(2 * _BLOCK))

    def _small(self, path: str, data: bytes) -> None:
        self._head(path, len(data))
        self._out.write(data)
        self._tail(len(data))
        self._sums.append(f"{hashlib.sha256(data).hexdigest()}  {path}\n")

    def _head(self, path: str, size: int) -> None:
        self._out.write(_header(path, size))

    def _tail(self, size: int) -> None:
        self._out.write(bytes(-size % _BLOCK))


class BundleReader:
    """Reads a bundle from front to back; :class:`InvalidBundle` where it is not one.

    :meth:`begin`, then :meth:`blob` for each of the blobs in their order, then :meth:`finish`.
    """

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._sums: list[str] = []

    def begin(self) -> Contents:
        index = _parse_index(self._small(INDEX, _MAX_INDEX))
        sizes = {blob.digest: blob.size for blob in index.blobs}
        models = []
        for number, model in enumerate(index.models):
            data = self._small(f"manifests/{number}", model.size)
            if digest_of(data) != model.digest:
                raise InvalidBundle(f"the manifest of {model.name} in the bundle is damaged")
            models.append((_name(model.name), data, _manifest(model.name, data, sizes)))
        return Contents(tuple(models), index.blobs)

    def blob(self, blob: BundledBlob) -> Iterator[bytes]:
        """The content of the next blob, in pieces; whoever takes them checks the digest."""
        self._head(blob.path, blob.size)
        content, left = hashlib.sha256(), blob.size
        while left:
            chunk = self._take(min(left, CHUNK))
            content.update(chunk)
            left -= len(chunk)
            yield chunk
        self._tail(blob.size)
        self._sums.append(f"{content.hexdigest()}  {blob.path}\n")

    def finish(self) -> None:
        """Check the sums, and that nothing was cut off."""
        expected = "".join(self._sums).encode()
        if self._small(SUMS, len(expected)) != expected:
            raise InvalidBundle("the checksums at the end of the bundle do not fit its content")
        if any(self._take(2 * _BLOCK)):
            raise InvalidBundle("the bundle does not end where it should")

    def _small(self, path: str, limit: int) -> bytes:
        size = self._head(path)
        if size > limit:
            raise InvalidBundle(f"{path} in the bundle is longer than {limit} bytes")
        data = self._take(size)
        self._tail(size)
        self._sums.append(f"{hashlib.sha256(data).hexdigest()}  {path}\n")
        return data

    def _head(self, path: str, size: int | None = None) -> int:
        """The length of the next file, which has to be ``path``."""
        block = self._take(_BLOCK)
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise InvalidBundle(f"there is no {path} where the bundle should have it") from error
        if member.name != path:
            raise InvalidBundle(f"the bundle has {member.name!r} where {path} should be")
        if size is not None and member.size != size:
            raise InvalidBundle(f"{path} in the bundle has {member.size} bytes instead of {size}")
        if member.size < 0 or block != _header(path, member.size):
            raise InvalidBundle(f"{path} in the bundle is not an ordinary file")
        return member.size

    def _tail(self, size: int) -> None:
        if any(self._take(-size % _BLOCK)):
            raise InvalidBundle("the bundle is damaged: there is something between its files")

    def _take(self, count: int) -> bytes:
        parts, left = [], count
        while left:
            part = self._source.read(left)
            if not part:
                raise InvalidBundle("the bundle ends too early", hint="copy the file once more")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


def _header(path: str, size: int) -> bytes:
    """The block before a file. All that is free to choose in it is always the same."""
    member = tarfile.TarInfo(path)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def _parse_index(data: bytes) -> Index:
    try:
        index = msgspec.json.decode(data, type=Index)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBundle(f"{INDEX} is not valid: {error}") from error
    if index.format != FORMAT:
        raise InvalidBundle(
            f"the bundle has format {index.format}, which this version does not know",
            hint="use the version of pyollama that wrote it, or a newer one",
        )
    if len(index.models) > _MAX_MODELS or len(index.blobs) > _MAX_BLOBS:
        raise InvalidBundle("the bundle claims too many models or blobs")
    if len({blob.digest for blob in index.blobs}) != len(index.blobs):
        raise InvalidBundle("the bundle has a blob twice")
    for blob in index.blobs:
        if not _is_plain(blob.digest) or not 0 <= blob.size <= _MAX_SIZE:
            raise InvalidBundle(f"the bundle has a blob {blob.digest!r} of {blob.size} bytes")
    for model in index.models:
        if not 0 <= model.size <= MAX_BYTES:
            raise InvalidBundle(f"the manifest of {model.name!r} has {model.size} bytes")
    if sum(model.size for model in index.models) > _MAX_MANIFESTS:
        raise InvalidBundle("the manifests in the bundle are too long")
    return index


def _name(text: str) -> Name:
    try:
        return Name.parse(text)
    except InvalidName as error:
        raise InvalidBundle(f"the bundle has a model of the invalid name {text!r}") from error


def _manifest(name: str, data: bytes, sizes: dict[str, int]) -> Manifest:
    try:
        manifest = parse_manifest(data)
    except InvalidManifest as error:
        raise InvalidBundle(f"model {name} in the bundle: {error}") from error
    for layer in manifest.blobs:
        if sizes.get(layer.digest) != layer.size:
            raise InvalidBundle(f"model {name} needs blob {layer.digest}, which the bundle lacks")
    return manifest


def _is_plain(digest: str) -> bool:
    """Whether it is spelled as digests are made."""
    return is_digest(digest) and digest[6] == ":" and digest == digest.lower()
