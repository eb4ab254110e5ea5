"""Blobs: files named after the SHA-256 of their content, shared by the models that need them.

A blob appears under its name complete and synced, or not at all. Digests count in the spelling
they are given, because the file name does.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyollama.errors import BlobNotFound, DigestMismatch, StoreError
from pyollama.store.digest import digest_of, file_digest, file_name
from pyollama.store.files import (
    FILE_MODE,
    clone,
    disk_errors,
    make_folder,
    read_file,
    sync_file,
    sync_folder,
)

_CHUNK = 4 << 20


class Blobs:
    """The folder of blobs. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pins: Counter[str] = Counter()
        self._lock = threading.Lock()

    def path(self, digest: str) -> Path:
        return self.folder / file_name(digest)

    def has(self, digest: str) -> bool:
        return os.path.isfile(self.path(digest))  # noqa: PTH113 - False when it may not be looked at

    def is_whole(self, digest: str, size: int) -> bool:
        """Whether the blob is there with all of its ``size`` bytes."""
        try:
            status = self.path(digest).stat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == size

    def require(self, digest: str) -> Path:
        """The file of ``digest``, which is known to exist."""
        path = self.path(digest)
        if self.has(digest):
            return path
        if path.is_symlink():
            raise StoreError(
                f"blob {digest} is a link to {path.readlink()}, which does not exist",
                hint="bring the target back, or pull or create the model again",
            )
        raise BlobNotFound(f"blob {digest} is not in the store", digest=digest)

    def size(self, digest: str) -> int:
        path = self.require(digest)
        with disk_errors("read", path):
            return path.stat().st_size

    def read(self, digest: str, limit: int) -> bytes:
        """The content of a small blob."""
        return read_file(self.require(digest), limit)

    def touch(self, digest: str) -> None:
        """Make an existing blob count as new, which protects it from pruning for an hour."""
        with suppress(OSError):  # somebody else's file, or a read-only store: it stays as it is
            os.utime(self.path(digest))

    def writer(self) -> BlobWriter:
        """Begin a new blob."""
        return BlobWriter(self)

    def put(self, data: bytes) -> tuple[str, bool]:
        """Store ``data``: its digest, and whether it was new."""
        digest = digest_of(data)
        if self.is_whole(digest, len(data)):
            self.touch(digest)
            return digest, False
        with self.writer() as writer:
            writer.write(data)
            return writer.commit(), True

    def adopt(self, temporary: Path) -> tuple[str, bool]:
        """Take over a complete file out of :meth:`temporary`; otherwise as :meth:`put`."""
        with disk_errors("read", temporary):
            digest = file_digest(temporary)
            sync_file(temporary)
        return digest, self.settle(temporary, digest)

    def copy_in(self, source: Path) -> tuple[str, bool]:
        """Store a copy of a file from elsewhere; otherwise as :meth:`put`."""
        with self.writer() as writer:
            with disk_errors("read", source), source.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    writer.write(chunk)
            existed = self.has(writer.digest)
            return writer.commit(), not existed

    def take_over(self, source: Path, digest: str) -> bool:
        """Make a blob of a file without a second copy of it on disk, where that can be.

        The copy shares the space of the file if the file system can do that. What is named after
        its own content, or cannot be written, is never changed in place, and is linked instead.
        ``False`` if the blob was there before; :class:`DigestMismatch` if it is another content.
        """
        if not source.is_file():
            raise StoreError(f"cannot read {source}: there is no such file")
        with self.temporary() as path:
            with disk_errors("read", source):
                linked = _link(source.resolve(), path, digest)
                if not linked:
                    clone(source, path)
                found = file_digest(path)
                sync_file(path)
            if found != digest:
                raise DigestMismatch(f'digest mismatch, expected "{digest}", got "{found}"')
            return self.settle(path, digest, mode=None if linked else FILE_MODE)

    def settle(self, temporary: Path, digest: str, mode: int | None = FILE_MODE) -> bool:
        """Give a synced temporary file its final name; ``False`` if the blob was there before.

        One of another length is damaged and gives way. Without ``mode`` the permissions stay.
        """
        path = self.path(digest)
        with disk_errors("write", path):
            if self.is_whole(digest, temporary.stat().st_size):
                self.touch(digest)
                temporary.unlink()
                return False
            if mode is not None:
                temporary.chmod(mode)
            temporary.replace(path)
            sync_folder(self.folder)
        return True

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """The path of an empty file in the folder, gone afterwards unless it was settled."""
        with disk_errors("write to", self.folder):
            make_folder(self.folder)
            fd, name = tempfile.mkstemp(prefix="sha256-", dir=self.folder)
            os.close(fd)
        path = Path(name)
        try:
            yield path
        finally:
            with suppress(OSError):  # what stays is deleted at a later start
                path.unlink()

    def delete(self, digest: str) -> bool:
        """Delete a blob unless it is pinned; whether it is gone."""
        with self._lock:
            if self._pins[digest]:
                return False
            path = self.path(digest)
            with disk_errors("delete", path):
                path.unlink(missing_ok=True)
            return True

    @contextmanager
    def pinned(self) -> Iterator[Pins]:
        """Keep blobs from being deleted by this process while a model is put together."""
        pins = Pins(self._pins, self._lock)
        try:
            yield pins
        finally:
            pins.release()


class Pins:
    """The blobs that one unfinished task counts on."""

    def __init__(self, counts: Counter[str], lock: threading.Lock) -> None:
        self._counts = counts
        self._lock = lock
        self._mine: set[str] = set()

    def add(self, digests: Iterable[str]) -> None:
        with self._lock:
            for digest in set(digests) - self._mine:
                self._mine.add(digest)
                self._counts[digest] += 1

    def release(self) -> None:
        with self._lock:
            for digest in self._mine:
                self._counts[digest] -= 1
                if not self._counts[digest]:
                    del self._counts[digest]
            self._mine.clear()


def _link(source: Path, target: Path, digest: str) -> bool:
    """Whether ``target`` is now another name of ``source``, a file that nobody will change."""
    status = source.stat()
    digits = digest.removeprefix("sha256:")
    is_final = source.name in (digits, f"sha256-{digits}") or not status.st_mode & 0o222
    if not is_final or status.st_uid not in (os.geteuid(), 0):  # its owner could still change it
        return False
    target.unlink()
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or not allowed
        target.touch()
        return False
    return True


class BlobWriter:
    """Takes a blob in pieces and hashes it on the way.

    Ends with :meth:`commit`, or leaves nothing behind. It belongs to one thread at a time.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._hash = hashlib.sha256()
        self.size = 0
        with disk_errors("write to", blobs.folder):
            make_folder(blobs.folder)
            fd, name = tempfile.mkstemp(prefix="sha256-", dir=blobs.folder)
        self._path = Path(name)
        self._file = os.fdopen(fd, "wb", buffering=0)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()

    @property
    def digest(self) -> str:
        """The digest of what was written so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        view = memoryview(chunk)
        self._hash.update(view)
        self.size += view.nbytes
        with disk_errors("write to", self._path):
            while view:
                view = view[self._file.write(view) :]

    def commit(self, expected: str | None = None) -> str:
        """Finish the blob and return its digest, which has to be ``expected`` if that is given."""
        digest = self.digest
        if expected is not None and expected != digest:
            self.abort()
            raise DigestMismatch(f'digest mismatch, expected "{expected}", got "{digest}"')
        with disk_errors("write to", self._path):
            os.fsync(self._file.fileno())
            self._file.close()
        self._blobs.settle(self._path, digest)
        return digest

    def abort(self) -> None:
        """Throw away what was written; without effect after :meth:`commit`."""
        with suppress(OSError):  # what stays is deleted at a later start
            self._file.close()
        with suppress(OSError):
            self._path.unlink()
