"""The tier on disk: one file for each piece, in a folder that any number of processes share.

``folder`` has one folder for each layout of cached values (see :mod:`.identity`), and in it files
``<start>-<key>.kv``. Prompts can be told from them, so all of it is for the owner's eyes only. A
file appears whole, by renaming, and is never changed afterwards; whoever finds a damaged one
removes it. Together the files of all layouts keep within ``limit`` bytes: those unused for longest
go first, and of a prefix the end before the beginning. Nothing here raises ``OSError``: a tier that
cannot be read or written to is one that holds nothing.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pyollama.engine.tiers import format
from pyollama.engine.tiers.format import Damaged
from pyollama.engine.tiers.host import State
from pyollama.engine.tiers.pieces import KEY_BYTES, Piece

log = logging.getLogger(__name__)

_SUFFIX = ".kv"
_NAME = re.compile(rf"(?P<start>[0-9a-f]{{8}})-(?P<key>[0-9a-f]{{{2 * KEY_BYTES}}}){_SUFFIX}")
_UNFINISHED = ".part"
_ABANDONED = 3600 * 10**9
"""Nanoseconds after which an unfinished file is one that nobody is writing any more."""

_ROOM = 0.9
"""Where room has to be made, files go until this part of the limit is used."""

_LOOK_AGAIN = 32
"""Files written after which is looked at what other processes have written meanwhile."""


@dataclass(frozen=True, slots=True)
class _File:
    """``used`` is in nanoseconds since the epoch, ``start`` a position."""

    used: int
    start: int
    size: int
    path: Path


class DiskTier:
    """``layout`` names our own folder. :meth:`read` may run beside the other methods."""

    def __init__(self, folder: Path, layout: bytes, limit: int) -> None:
        self.limit = limit
        self._root = folder
        self._folder = folder / layout.hex()
        self._used = 0
        self._writes = _LOOK_AGAIN
        self._failing = False

    def open(self) -> bool:
        """Create the folder; false where it is of no use."""
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            owner = self._folder.stat().st_uid
        except OSError as error:
            log.warning("prefixes cannot be kept in %s: %s", self._root, error)
            return False
        if owner != os.geteuid():
            log.warning("prefixes are not kept in %s: it belongs to another user", self._folder)
            return False
        return True

    @property
    def changed(self) -> int:
        """A number that is another one when files have come or gone."""
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:
            return 0

    def scan(self, known: Iterable[bytes] = ()) -> tuple[list[Piece], set[bytes]]:
        """The pieces that are not ``known``, and the keys of all that are there."""
        known = set(known)
        fresh: list[Piece] = []
        keys: set[bytes] = set()
        for path in _list(self._folder):
            if path.suffix != _SUFFIX:
                continue
            name = _NAME.fullmatch(path.name)
            key = bytes.fromhex(name["key"]) if name else b""
            if key not in known:
                found = self._glance(path)
                if found is None:
                    continue
                fresh.append(found)
            keys.add(key)
        return fresh, keys

    def read(self, piece: Piece) -> memoryview | None:
        """The state of a piece. A file that is not what it should be is removed."""
        path = self._path(piece)
        try:
            return format.read_state(piece, memoryview(path.read_bytes()))
        except OSError:
            return None
        except Damaged as error:
            log.warning("removed %s: %s", path, error)
            _unlink(path)
            return None

    def touch(self, pieces: Iterable[Piece], now: int) -> None:
        """The pieces have been used at ``now``, in nanoseconds since the epoch."""
        for piece in pieces:
            try:
                os.utime(self._path(piece), ns=(now, now))
            except OSError:
                continue

    def write(self, piece: Piece, state: State, now: int) -> bool:
        """Keep a piece, used at ``now``; false if that was not to be."""
        size = format.file_bytes(piece, len(state))
        try:
            if not self._folder.is_dir() and not self.open():  # somebody has cleared it all away
                return False
            if not self._make_room(size):
                return False
            self._write(self._path(piece), format.encode(piece, state), state, now)
        except OSError as error:
            if not self._failing:
                log.warning("a prefix could not be written to %s: %s", self._folder, error)
            self._failing = True
            self._writes = _LOOK_AGAIN
            return False
        self._failing = False
        self._used += size
        self._writes += 1
        return True

    def sync(self) -> None:
        """Let the names of the files survive a power cut, as their contents do already."""
        try:
            descriptor = os.open(self._folder, os.O_RDONLY)
        except OSError:
            return
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, piece: Piece) -> None:
        _unlink(self._path(piece))

    # --- files ------------------------------------------------------------------------------------

    def _path(self, piece: Piece) -> Path:
        return self._folder / f"{piece.start:08x}-{piece.key.hex()}{_SUFFIX}"

    def _write(self, path: Path, head: bytes, state: State, now: int) -> None:
        descriptor, name = tempfile.mkstemp(suffix=_UNFINISHED, dir=self._folder)  # mode 0600
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(head)
                file.write(state)
                file.flush()
                os.fsync(file.fileno())
            os.utime(unfinished, ns=(now, now))
            unfinished.replace(path)
        except BaseException:
            _unlink(unfinished)
            raise

    def _glance(self, path: Path) -> Piece | None:
        """The piece a file is about, its state unread."""
        try:
            with path.open("rb", buffering=0) as file:
                data = file.read(format.HEAD_BYTES)
                head = format.read_head(data)
                data += file.read(head.tokens_end - len(data))
                size = os.fstat(file.fileno()).st_size
            found = format.read_piece(data)
            if head.file_bytes != size or self._path(found) != path:
                raise Damaged("its size or its name is wrong")
        except OSError:
            return None
        except Damaged as error:
            log.warning("removed %s: %s", path, error)
            _unlink(path)
            return None
        return found

    def _make_room(self, size: int) -> bool:
        """Let the oldest files go until ``size`` more bytes keep within the limit."""
        if size > self.limit:
            return False
        if self._used + size <= self.limit and self._writes < _LOOK_AGAIN:
            return True
        files = list(self._everything())
        self._used = sum(file.size for file in files)
        self._writes = 0
        if self._used + size > self.limit:
            self._remove_oldest(files, max(self.limit * _ROOM - size, 0))
        return True

    def _remove_oldest(self, files: list[_File], target: float) -> None:
        for file in sorted(files, key=lambda file: (file.used, -file.start)):
            if self._used <= target:
                return
            _unlink(file.path)
            self._used -= file.size

    def _everything(self) -> Iterator[_File]:
        """The files of all layouts. What somebody began to write and never ended is removed."""
        abandoned = time.time_ns() - _ABANDONED
        for path in (path for folder in _list(self._root) for path in _list(folder)):
            name = _NAME.fullmatch(path.name)
            if name is None and path.suffix != _UNFINISHED:
                continue
            try:
                facts = path.lstat()
            except OSError:
                continue
            if name is not None:
                yield _File(facts.st_mtime_ns, int(name["start"], 16), facts.st_size, path)
            elif facts.st_mtime_ns < abandoned:
                _unlink(path)


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
