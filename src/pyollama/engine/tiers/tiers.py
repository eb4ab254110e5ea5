"""Where prefixes go that leave the KV cache, and where they come back from.

The engine offers what it is about to give up, asks how much of a prompt is held, and takes it piece
by piece. All of it belongs to the engine thread; only files are written by a thread of their own.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty

from pyollama.engine.tiers.disk import DiskTier
from pyollama.engine.tiers.host import HostTier, State
from pyollama.engine.tiers.pieces import Index, Piece, cut, root
from pyollama.engine.tiers.writer import Remove, Scan, Scanned, Touch, Write, Writer, Written
from pyollama.errors import PyollamaError

Save = Callable[[int, int], State]
"""The state of the positions from ``start`` up to ``stop`` of a sequence; may raise."""

MOST_UNWRITTEN = 128 << 20
"""Bytes that may wait to be written to disk."""

_FIRST_SCAN = 2.0
"""Seconds the first prompt may wait for the list of what is on disk."""

_SCAN_PAUSE = 1.0

_PAUSE = 0.02
"""Seconds that somebody with nothing else to do waits for the disk at a time."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a sequence lacks: the positions from ``start`` up to ``stop``.

    ``state`` is that of the whole ``piece``, of which these are a part.
    """

    piece: Piece
    start: int
    stop: int
    state: State

    @property
    def complete(self) -> bool:
        return (self.start, self.stop) == (self.piece.start, self.piece.stop)


class Tiers:
    """``layout`` stands for all that cached values depend on besides their tokens.

    ``size`` is that of full pieces; 0 keeps prefixes whole. ``scope`` sets prefixes apart that were
    computed under different conditions within one layout.
    """

    def __init__(self, layout: bytes, host: HostTier, disk: DiskTier | None, *, size: int) -> None:
        self._layout = layout
        self._size = size
        self._index = Index(size)
        self._host = host
        self._disk = disk
        self._writer = None if disk is None else Writer(disk)
        self._on_disk: set[bytes] = set()
        self._unwritten: dict[bytes, State] = {}
        self._patience = _FIRST_SCAN
        self._seen = 0  # what disk.changed was at the last scan
        self._scanned_at = time.monotonic()
        self._scanning = self._writer is not None
        if self._writer is not None:
            self._writer.post(Scan())

    @property
    def durable(self) -> bool:
        """Whether anything outlives this process."""
        return self._writer is not None

    def offer(
        self, tokens: array[int], save: Save, *, scope: bytes = b"", until: float | None = None
    ) -> None:
        """Keep what is not held yet of a prefix that is about to go, as far as there is room.

        ``save`` is called for that only. At the end, with ``until`` (of the monotonic clock), it
        may take until then for the disk to keep up; otherwise nothing is waited for.
        """
        self._settle()
        now = time.time_ns()
        held = []
        for piece in cut(root(self._layout, scope), tokens, self._size):
            if self._index.covers(piece):
                self._host.touch(piece.key)
                held.append(piece)
                continue
            if until is not None and not self._wait_for_room(until):
                break
            try:
                state = save(piece.start, piece.stop)
            except PyollamaError:
                break  # not all of it is there, for example of a sliding window
            self._keep(piece, state, now, patient=until is not None)
            if piece.key not in self._index:
                break  # no room, and without it what follows is of no use
        self._used_on_disk(held, now)

    def ahead(self, tokens: array[int], save: Save, *, scope: bytes = b"") -> Iterator[None]:
        """Write a prefix that stays for now to the disk, one piece each time it is asked for one.

        So a process that is killed leaves its prefixes behind. Every piece gets one chance, or a
        disk with too little room for them all would be written to for ever.
        """
        if self._writer is None:
            return
        for piece in cut(root(self._layout, scope), tokens, self._size):
            self._settle()
            if self._index.covers(piece):
                continue
            while self._unwritten_bytes > MOST_UNWRITTEN // 2:
                self._take_in(timeout=_PAUSE)
                yield
            try:
                state = save(piece.start, piece.stop)
            except PyollamaError:
                return
            self._supersede(piece)
            self._write(piece, state, time.time_ns())
            yield

    def match(self, tokens: array[int], limit: int, *, scope: bytes = b"") -> int:
        """How many of the first ``limit`` tokens are held."""
        self._settle()
        hits = self._index.walk(root(self._layout, scope), tokens, limit)
        # They may be taken next, and what makes room for them in the cells must not drive them out.
        self._host.pinned = frozenset(hit.piece.key for hit in hits)
        return hits[-1].stop if hits else 0

    def take(
        self, tokens: array[int], start: int, limit: int, *, scope: bytes = b""
    ) -> Iterator[Part]:
        """What a sequence that holds ``start`` tokens lacks, in order.

        It ends early where a piece is gone or damaged.
        """
        used = []
        for hit in self._index.walk(root(self._layout, scope), tokens, limit):
            used.append(hit.piece)
            if hit.stop <= start:
                continue
            state = self._read(hit.piece)
            if state is None:
                break
            yield Part(hit.piece, max(start, hit.piece.start), hit.stop, state)
        self._host.pinned = frozenset()
        for piece in used:
            self._host.touch(piece.key)
        self._used_on_disk(used, time.time_ns())

    def drop(self, piece: Piece) -> None:
        """What was kept of ``piece`` is of no use."""
        self._index.discard(piece.key)
        self._host.discard(piece.key)
        if self._writer is not None and self._is_for_disk(piece):
            self._on_disk.discard(piece.key)
            self._writer.post(Remove([piece]))

    def close(self, until: float) -> None:
        """Write what the disk lacks, until that time of the monotonic clock."""
        if self._writer is None:
            return
        self._settle()
        now = time.time_ns()
        for piece in sorted(self._host, key=lambda piece: piece.start):
            state = self._host.peek(piece.key)
            if state is not None and not self._is_for_disk(piece):
                self._writer.post(Write(piece, state, now))
        self._writer.close(until - time.monotonic())

    # --- where pieces are -------------------------------------------------------------------------

    def _keep(self, piece: Piece, state: State, now: int, *, patient: bool) -> None:
        self._supersede(piece)
        busy = self._unwritten_bytes + len(state) > MOST_UNWRITTEN and bool(self._unwritten)
        if patient or not busy:
            self._write(piece, state, now)
        for gone in self._host.put(piece, state):
            self._check(gone)

    def _supersede(self, piece: Piece) -> None:
        """From now on ``piece`` is held, instead of those it is a longer form of."""
        for outgrown in self._index.shorter(piece):
            self.drop(outgrown)
        self._index.add(piece)

    def _write(self, piece: Piece, state: State, now: int) -> None:
        if self._writer is not None:
            self._unwritten[piece.key] = state
            self._writer.post(Write(piece, state, now))

    def _check(self, piece: Piece) -> None:
        """Forget ``piece`` if no tier holds it any more."""
        if piece.key not in self._host and not self._is_for_disk(piece):
            self._index.discard(piece.key)

    def _is_for_disk(self, piece: Piece) -> bool:
        """Whether ``piece`` is on the disk or waits to be written to it."""
        return piece.key in self._on_disk or piece.key in self._unwritten

    def _read(self, piece: Piece) -> State | None:
        state = self._host.peek(piece.key) or self._unwritten.get(piece.key)
        if state is not None or self._disk is None:
            return state
        state = self._disk.read(piece)
        if state is None:
            self._on_disk.discard(piece.key)
            self._check(piece)
        return state

    def _used_on_disk(self, pieces: list[Piece], now: int) -> None:
        there = [piece for piece in pieces if piece.key in self._on_disk]
        if self._writer is not None and there:
            self._writer.post(Touch(there, now))

    @property
    def _unwritten_bytes(self) -> int:
        return sum(map(len, self._unwritten.values()))

    # --- the thread that writes -------------------------------------------------------------------

    def _settle(self) -> None:
        """Take in what the writer has done, and have it look for what others did."""
        if self._writer is None or self._disk is None:
            return
        self._take_in(timeout=self._patience)
        self._patience = 0
        while self._take_in(timeout=0):
            pass
        since = time.monotonic() - self._scanned_at
        if not self._scanning and since > _SCAN_PAUSE and self._disk.changed != self._seen:
            self._scanning = True
            self._writer.post(Scan())

    def _take_in(self, timeout: float) -> bool:
        """One result of the writer; false if there is none."""
        if self._writer is None:
            return False
        try:
            result = self._writer.results.get(timeout > 0, timeout or None)
        except Empty:
            return False
        match result:
            case Written(piece, done):
                self._unwritten.pop(piece.key, None)
                if done and piece.key in self._index:
                    self._on_disk.add(piece.key)
                self._check(piece)
            case Scanned(fresh, keys, changed):
                self._scanning, self._seen = False, changed
                self._scanned_at = time.monotonic()
                self._note_files(fresh, keys)
        return True

    def _note_files(self, fresh: list[Piece], keys: set[bytes]) -> None:
        lost, self._on_disk = self._on_disk - keys, keys
        for piece in fresh:
            self._index.add(piece)
        for piece in [piece for piece in self._index if piece.key in lost]:
            self._check(piece)

    def _wait_for_room(self, until: float) -> bool:
        """Wait for the disk; false when the time is over."""
        left = until - time.monotonic()
        while left > 0 and self._unwritten_bytes > MOST_UNWRITTEN // 2:
            self._take_in(timeout=left)
            left = until - time.monotonic()
        return left > 0
