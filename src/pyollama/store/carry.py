"""Models out of the store into a bundle, and out of a bundle into the store."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Sequence
from typing import IO

from pyollama.errors import DigestMismatch, InvalidBundle, StoreError
from pyollama.store.blobs import Blobs, Pins
from pyollama.store.bundle import (
    CHUNK,
    BundledBlob,
    BundleReader,
    BundleWriter,
    Contents,
)
from pyollama.store.files import disk_errors
from pyollama.store.manifest import parse_manifest
from pyollama.store.name import Name
from pyollama.types import Progress


def write_bundle(
    models: Sequence[tuple[Name, bytes]], blobs: Blobs, out: IO[bytes]
) -> Iterator[Progress]:
    """Write models, given by their manifests, and all of their blobs, each blob once."""
    sizes = {
        layer.digest: blobs.size(layer.digest)
        for _, data in models
        for layer in parse_manifest(data).blobs
    }
    bundled = [BundledBlob(digest, size) for digest, size in sizes.items()]
    writer = BundleWriter(out)
    writer.begin(models, bundled)
    for blob in bundled:
        for done in writer.blob(blob, _chunks(blobs, blob.digest)):
            yield Progress(f"exporting {blob.digest[7:19]}", blob.digest, blob.size, done)
    writer.finish()


def read_bundle(
    source: IO[bytes], blobs: Blobs, pins: Pins, made: set[str]
) -> Generator[Progress, None, Contents]:
    """Put the blobs of a bundle into the store; the models that can be written then.

    ``made`` takes up the blobs that were not there before.
    """
    reader = BundleReader(source)
    contents = reader.begin()
    pins.add(blob.digest for blob in contents.blobs)
    _check_space(blobs, sum(b.size for b in contents.blobs if not blobs.has(b.digest)))
    for blob in contents.blobs:
        chunks = _counted(reader.blob(blob), blob)
        if blobs.is_whole(blob.digest, blob.size):
            blobs.touch(blob.digest)
            yield from (step for _, step in chunks)
        else:
            yield from _take_in(chunks, blob, blobs, made)
    reader.finish()
    return contents


def _take_in(
    chunks: Iterator[tuple[bytes, Progress]], blob: BundledBlob, blobs: Blobs, made: set[str]
) -> Iterator[Progress]:
    with blobs.writer() as writer:
        for chunk, step in chunks:
            writer.write(chunk)
            yield step
        made.add(blob.digest)
        try:
            writer.commit(blob.digest)
        except DigestMismatch as error:
            raise InvalidBundle(f"blob {blob.digest} in the bundle is damaged") from error


def _counted(chunks: Iterator[bytes], blob: BundledBlob) -> Iterator[tuple[bytes, Progress]]:
    done = 0
    for chunk in chunks:
        done += len(chunk)
        status = f"importing {blob.digest[7:19]}"
        yield chunk, Progress(status, blob.digest, blob.size, done)


def _chunks(blobs: Blobs, digest: str) -> Iterator[bytes]:
    path = blobs.require(digest)
    with disk_errors("read", path), path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _check_space(blobs: Blobs, wanted: int) -> None:
    folder = next(path for path in (blobs.folder, *blobs.folder.parents) if path.is_dir())
    with disk_errors("look at", folder):
        free = shutil.disk_usage(folder).free
    if wanted > free:
        raise StoreError(
            f"the bundle needs {wanted} bytes, and {folder} has {free} bytes left",
            hint="delete models or files and try again",
        )
