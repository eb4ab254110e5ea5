"""Writing files so that a kill at any instant leaves the old content or the new one."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pyollama.errors import StoreError

FILE_MODE = 0o644
FOLDER_MODE = 0o755
TEMPORARY_FILES = ".write-*"

_FICLONE = 0x40049409
"""The request of ioctl for it, in Linux; others do not know it."""

_HINTS = {
    errno.ENOSPC: "the disk is full; delete models or files and try again",
    errno.EDQUOT: "the disk quota is used up; delete models or files and try again",
    errno.EROFS: "the disk is read-only; set OLLAMA_MODELS to a folder that can be written",
    errno.EACCES: "the program may not do this; change the folder's owner or permissions",
    errno.EPERM: "the program may not do this; change the folder's owner or permissions",
}


@contextmanager
def disk_errors(action: str, path: Path) -> Iterator[None]:
    """Turn an :class:`OSError` into a :class:`StoreError` that says what could not be done."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        hint = _HINTS.get(error.errno or 0, "")
        raise StoreError(f"cannot {action} {path}: {reason}", hint=hint) from error


def sync_file(path: Path) -> None:
    """Make the content of a file that somebody else wrote survive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def clone(source: Path, target: Path) -> None:
    """Make the existing file ``target`` a copy of ``source`` that shares its space on disk.

    Where the file system cannot do that, it is an ordinary copy.
    """
    with source.open("rb") as old, target.open("wb") as new:
        try:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        except OSError:  # another file system, or one that cannot
            shutil.copyfile(source, target)


def sync_folder(folder: Path) -> None:
    """Make new, renamed and deleted entries of ``folder`` survive a power cut."""
    if os.name == "nt":  # folders cannot be opened there, and need not be
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Create ``folder`` and what is missing above it."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    folder.mkdir(FOLDER_MODE, exist_ok=True)
    sync_folder(folder.parent)


def write_file(path: Path, data: bytes, *, temporary_in: Path) -> None:
    """Replace ``path`` with ``data`` in one step.

    ``temporary_in`` must be on the same file system; the caller keeps it free of leftovers.
    """
    with disk_errors("write", path):
        make_folder(temporary_in)
        make_folder(path.parent)
        fd, name = tempfile.mkstemp(prefix=TEMPORARY_FILES.rstrip("*"), dir=temporary_in)
        temporary = Path(name)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(FILE_MODE)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


def open_file(path: Path) -> IO[bytes]:
    """Open a regular file, or a link to one, to be read.

    Anything else is an error, because a pipe keeps its reader waiting, and a device has no end.
    """
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - Path.open has none
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is not a regular file")


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_file(path: Path, limit: int) -> bytes:
    """The content of a small file; more than ``limit`` bytes are an error."""
    with disk_errors("read", path), open_file(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise StoreError(f"cannot read {path}: it is longer than {limit} bytes")
    return data
