"""The thread that looks after the files, so that nothing waits for a disk to be written."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from pyollama.engine.tiers.disk import DiskTier
from pyollama.engine.tiers.host import State
from pyollama.engine.tiers.pieces import Piece


@dataclass(frozen=True, slots=True)
class Write:
    """Times are nanoseconds since the epoch."""

    piece: Piece
    state: State
    now: int


@dataclass(frozen=True, slots=True)
class Remove:
    pieces: Sequence[Piece]


@dataclass(frozen=True, slots=True)
class Touch:
    pieces: Sequence[Piece]
    now: int


@dataclass(frozen=True, slots=True)
class Scan:
    """Look for what other processes have written and removed."""


Job = Write | Remove | Touch | Scan


@dataclass(frozen=True, slots=True)
class Written:
    """The write of ``piece`` is over."""

    piece: Piece
    done: bool


@dataclass(frozen=True, slots=True)
class Scanned:
    """``fresh`` pieces were found; ``keys`` are those of all that are there. See ``changed``."""

    fresh: list[Piece]
    keys: set[bytes]
    changed: int


Result = Written | Scanned


class Writer:
    """Does jobs in order; those that have a result put it into ``results``."""

    def __init__(self, disk: DiskTier) -> None:
        self.results: SimpleQueue[Result] = SimpleQueue()
        self._disk = disk
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._stop = threading.Event()
        self._known: set[bytes] = set()
        self._thread = threading.Thread(target=self._run, name="prefixes", daemon=True)
        self._thread.start()

    def post(self, job: Job) -> None:
        self._jobs.put(job)

    def close(self, timeout: float) -> bool:
        """Do what has been posted within ``timeout`` seconds; false if something was left."""
        self._jobs.put(None)
        self._thread.join(max(timeout, 0))
        done = not self._thread.is_alive()
        self._stop.set()
        return done

    def _run(self) -> None:
        unsynced = False
        while not self._stop.is_set():
            try:
                job = self._jobs.get(block=not unsynced)
            except Empty:
                self._disk.sync()
                unsynced = False
                continue
            if job is None:
                break
            unsynced |= isinstance(job, Write)
            self._do(job)
        if unsynced:
            self._disk.sync()

    def _do(self, job: Job) -> None:
        match job:
            case Write(piece, state, now):
                self.results.put(Written(piece, self._disk.write(piece, state, now)))
            case Remove(pieces):
                for piece in pieces:
                    self._disk.remove(piece)
            case Touch(pieces, now):
                self._disk.touch(pieces, now)
            case Scan():
                changed = self._disk.changed
                fresh, self._known = self._disk.scan(self._known)
                self.results.put(Scanned(fresh, set(self._known), changed))
