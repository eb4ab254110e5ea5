"""Advisory locks between the processes that share a store.

Two files in the store's folder carry them. ``.pyollama.lock`` is held by whoever changes manifests
or deletes blobs, one at a time. ``.pyollama.use`` is held, shared, while a model is being made or
fetched: blobs that no manifest names yet are then in use, so other processes delete none. Readers
take no lock, and a process that dies gives its locks back. Ollama knows nothing of these locks;
renames in one step and the grace of pruning are what protects from it, and it from us.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyollama.errors import StoreError
from pyollama.store.files import FILE_MODE, disk_errors, make_folder

log = logging.getLogger(__name__)

_PATIENCE = 120.0
"""Seconds to wait for another process, which holds a lock for moments only."""
_POLL_SECONDS = 0.01

# A file system may know no locks. Then processes depend on renames and grace alone.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}


class StoreLock:
    """The locks of the store below ``root``. Safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._mutex = threading.RLock()
        self._depth = 0
        self._change: _LockFile | None = None
        self._users = 0
        self._use: _LockFile | None = None

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Be the only one that changes manifests or deletes blobs. Can be entered repeatedly."""
        with self._mutex:
            if self._depth == 0:
                self._change = _LockFile(self._root, ".pyollama.lock").held(fcntl.LOCK_EX)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0 and self._change is not None:
                    self._change.close()

    @contextmanager
    def using(self) -> Iterator[None]:
        """Keep other processes from deleting blobs; for as long as a model is in the making.

        Where nothing can be written there is no lock, and a model can still be read.
        """
        with self._mutex:
            if self._users == 0:
                self._use = _LockFile.shared(self._root)
            self._users += 1
        try:
            yield
        finally:
            with self._mutex:
                self._users -= 1
                if self._users == 0 and self._use is not None:
                    self._use.close()
                    self._use = None

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Within :meth:`changing`: whether no other process uses blobs, and none begins to."""
        own = self._use
        file = own or _LockFile(self._root, ".pyollama.use")
        try:
            yield file.take(fcntl.LOCK_EX)
        finally:
            if own:
                # Changing the kind of a lock gives it up for an instant. Nobody can take it for
                # himself alone meanwhile, because that needs the lock on changes, which is ours.
                own.wait(fcntl.LOCK_SH)
            else:
                file.close()


class _LockFile:
    """One open file, which is one holder of a lock: another one in this process is a stranger."""

    def __init__(self, root: Path, name: str) -> None:
        self._path = root / name
        with disk_errors("write to", root):
            make_folder(root)
            self._fd = _open(self._path)

    @classmethod
    def shared(cls, root: Path) -> _LockFile | None:
        try:
            file = cls(root, ".pyollama.use")
        except StoreError as error:
            log.debug("no lock on %s: %s", root, error)
            return None
        return file.held(fcntl.LOCK_SH)

    def take(self, kind: int) -> bool:
        """Take the lock if nobody is in the way."""
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise StoreError(f"cannot lock {self._path}: {error.strerror}") from error
            log.debug("no lock on %s: %s", self._path, error.strerror)
        return True

    def held(self, kind: int) -> _LockFile:
        """This file with the lock taken; closed if that fails."""
        try:
            self.wait(kind)
        except BaseException:
            self.close()
            raise
        return self

    def wait(self, kind: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self.take(kind):
            if time.monotonic() > deadline:
                raise StoreError(
                    f"another process has been holding {self._path} for {_PATIENCE:.0f} seconds",
                    hint="see which one with 'fuser', and end it if it hangs",
                )
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        os.close(self._fd)


def _open(path: Path) -> int:
    """Open for writing where that is allowed (some file systems want it), else for reading."""
    common = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, os.O_RDWR | common, FILE_MODE)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
