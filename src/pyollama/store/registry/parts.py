"""A blob on its way, on disk: the bytes that have come, and how far each part of it is.

The layout is Ollama's, so that either program goes on where the other one stopped:

    sha256-<hex>-partial        the bytes, each at its place (a sparse file)
    sha256-<hex>-partial-<n>    {"N":…,"Offset":…,"Size":…,"Completed":…}, one file per part

Bytes are written before the count that speaks of them, so a kill loses the bytes since the last
count and nothing else. A count is overwritten in place: the file always has the same length, and
one small write is either done or not.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pyollama.errors import StoreError
from pyollama.store.files import FILE_MODE, disk_errors, make_folder

CHUNK = 1 << 20
"""Bytes between two counts: the most that one connection loses by a kill."""

_SMALLEST = 16 << 20
_LARGEST = 128 << 20
_MANY = 128
_MAX_PARTS = 100_000
_STATE_BYTES = 160


@dataclass(slots=True)
class Part:
    """A stretch of a blob, in bytes; the first ``completed`` of it are on disk.

    ``doubtful`` says that it did not come in one piece, so that it is looked at first should the
    blob turn out to be wrong. ``restarts`` counts how often bytes were taken back.
    """

    number: int
    offset: int
    size: int
    completed: int = 0
    doubtful: bool = False
    restarts: int = 0

    @property
    def start(self) -> int:
        """Where the missing bytes begin."""
        return self.offset + self.completed

    @property
    def stop(self) -> int:
        return self.offset + self.size

    @property
    def done(self) -> bool:
        return self.completed == self.size


class _State(msgspec.Struct):
    N: int
    Offset: int
    Size: int
    Completed: int


def plan(total: int) -> list[Part]:
    """The parts of a new download of ``total`` bytes.

    They are fetched in order, a few at a time, so that the beginning of the blob is whole early
    and can be hashed while the rest comes.
    """
    size = min(max(total // _MANY, _SMALLEST), _LARGEST)
    size = max(size, -(-total // _MAX_PARTS))
    return [
        Part(number, offset, min(size, total - offset))
        for number, offset in enumerate(range(0, total, size))
    ]


def format_part(part: Part) -> bytes:
    """The state of a part, padded to a length that does not depend on it."""
    state = _State(part.number, part.offset, part.size, part.completed)
    return msgspec.json.encode(state).ljust(_STATE_BYTES - 1) + b"\n"


def parse_part(data: bytes) -> Part:
    """The part whose state is ``data``; :class:`ValueError` if it is none."""
    try:
        state = msgspec.json.decode(data, type=_State)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError("no state of a part") from error
    if min(state.N, state.Offset, state.Size) < 0 or not 0 <= state.Completed <= state.Size:
        raise ValueError("no sound state of a part")
    return Part(state.N, state.Offset, state.Size, state.Completed, doubtful=state.Completed > 0)


def fit_together(parts: list[Part], total: int) -> bool:
    """Whether ``parts``, in order, make up ``total`` bytes without a gap or an overlap."""
    place = 0
    for part in parts:
        if part.offset != place or not part.size:
            return False
        place = part.stop
    return place == total


class Partial:
    """A partial download, held by one process at a time. Parts may be written by several threads.

    ``path`` is where the blob will be, ``total`` its size in bytes.
    """

    def __init__(self, path: Path, total: int, fd: int) -> None:
        self.path = path.with_name(f"{path.name}-partial")
        self.total = total
        self._fd = fd
        self.parts = self._load() or self._begin()

    @classmethod
    def open(cls, path: Path, total: int) -> Partial | None:
        """Take over or begin the download of a blob; ``None`` while another process has it."""
        partial = path.with_name(f"{path.name}-partial")
        with disk_errors("write to", partial):
            make_folder(path.parent)
            fd = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            try:
                if _lock(fd) and _is_at(fd, partial):
                    return cls(path, total, fd)
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # another process has it, or has just made the blob of it
            return None

    def close(self) -> None:
        """Let go of the files; they stay as they are."""
        os.close(self._fd)

    @property
    def completed(self) -> int:
        return sum(part.completed for part in self.parts)

    @contextmanager
    def writer(self, part: Part) -> Iterator[PartWriter]:
        """Write to ``part``; the count on disk is right at the end, whatever ends it."""
        with disk_errors("write to", self.path):
            state = os.open(self._state_path(part.number), os.O_WRONLY | os.O_CREAT, FILE_MODE)
        try:
            writer = PartWriter(self.path, self._fd, state, part)
            try:
                yield writer
            finally:
                writer.save()
        finally:
            os.close(state)

    def write(self, data: bytes, offset: int) -> None:
        """Replace bytes that are there already."""
        with disk_errors("write to", self.path):
            _write_all(self._fd, data, offset)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill ``buffer`` from ``offset`` on as far as the file goes; how many bytes those were."""
        with disk_errors("read", self.path):
            return os.preadv(self._fd, [buffer], offset)

    def begin_sync(self, part: Part) -> None:
        """Have a part written to disk without waiting for it, so that little is left at the end."""
        if hasattr(os, "posix_fadvise"):  # Linux starts to write what it is told to forget
            with disk_errors("write to", self.path):
                os.posix_fadvise(self._fd, part.offset, part.size, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        with disk_errors("write to", self.path):
            os.fdatasync(self._fd)

    def check_room(self) -> None:
        """Raise :class:`StoreError` unless the missing bytes fit on the disk."""
        missing = self.total - self.completed
        with disk_errors("look at", self.path):
            free = shutil.disk_usage(self.path.parent).free
        if missing > free:
            raise StoreError(
                f"not enough room in {self.path.parent}: {missing} bytes needed, {free} free",
                hint="delete models or files and try again",
            )

    def merge(self) -> None:
        """Make one part of all, of which only the bytes before the first gap count."""
        whole = next((part.start for part in self.parts if not part.done), self.total)
        drop_states(self.path)
        self.parts = [Part(0, 0, self.total, whole, doubtful=whole > 0)]
        with self.writer(self.parts[0]):
            """Writes the count."""

    def drop_states(self) -> None:
        """Delete what is not needed once the blob is there."""
        drop_states(self.path)

    def discard(self) -> None:
        """Delete everything."""
        self.drop_states()
        with disk_errors("delete", self.path):
            self.path.unlink(missing_ok=True)

    def _state_path(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}-{number}")

    def _load(self) -> list[Part] | None:
        """The parts of an earlier run; ``None`` if there are none, or no sound ones."""
        try:
            found = [parse_part(_read_state(path)) for path in _state_paths(self.path)]
        except (ValueError, OSError):
            return None
        parts = sorted(found, key=lambda part: part.offset)
        if len({part.number for part in parts}) < len(parts) or not fit_together(parts, self.total):
            return None
        if any(part.completed and part.start > os.fstat(self._fd).st_size for part in parts):
            return None
        return parts

    def _begin(self) -> list[Part]:
        drop_states(self.path)
        parts = plan(self.total)
        with disk_errors("write to", self.path):
            os.ftruncate(self._fd, 0)
            os.ftruncate(self._fd, self.total)
            for part in parts:
                path = self._state_path(part.number)
                path.write_bytes(format_part(part))
        return parts


class PartWriter:
    """Appends to one part. It belongs to one thread."""

    def __init__(self, path: Path, fd: int, state: int, part: Part) -> None:
        self._path = path
        self._fd = fd
        self._state = state
        self._part = part
        self._saved = -1

    @property
    def start(self) -> int:
        return self._part.start

    @property
    def stop(self) -> int:
        return self._part.stop

    def write(self, data: bytes) -> None:
        """Append ``data``, which fits into the part."""
        with disk_errors("write to", self._path):
            _write_all(self._fd, data, self._part.start)
        self._part.completed += len(data)
        if self._part.completed - self._saved >= CHUNK:
            self.save()

    def take_back(self, start: int) -> None:
        """Forget the bytes from ``start`` on, a place in the blob."""
        self._part.completed = start - self._part.offset
        self._part.restarts += 1
        self.save()

    def save(self) -> None:
        if self._saved != self._part.completed:
            with disk_errors("write to", self._path):
                state = format_part(self._part)
                os.pwrite(self._state, state, 0)
                os.ftruncate(self._state, len(state))  # Ollama's may have been longer
            self._saved = self._part.completed


def drop_leftovers(path: Path) -> None:
    """Delete what is left of the download of a blob that is there, unless somebody is at it."""
    partial = path.with_name(f"{path.name}-partial")
    if partial.exists():
        with disk_errors("delete", partial), partial.open("rb") as file:
            if not _lock(file.fileno()):
                return
            partial.unlink(missing_ok=True)
    drop_states(partial)


def drop_states(partial: Path) -> None:
    """Delete the counts of a download, whose bytes are in the file ``partial``."""
    with disk_errors("delete parts of", partial):
        for path in _state_paths(partial):
            path.unlink(missing_ok=True)


def _state_paths(partial: Path) -> list[Path]:
    return list(partial.parent.glob(f"{partial.name}-*"))


def _read_state(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4 * _STATE_BYTES)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def _lock(fd: int) -> bool:
    """Whether the file is ours alone now; on a file system without locks it always is."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
    return True


def _is_at(fd: int, path: Path) -> bool:
    """Whether the open file is still the one at ``path``."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
