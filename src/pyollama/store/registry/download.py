"""Fetching one blob: parts in parallel, the whole verified while it comes.

What is wrong with the bytes is noticed as early as the transport allows. Over TLS a changed byte
breaks the connection, and what came before it is genuine. A server that answers with
``Content-Digest`` has each part checked by itself. Without either only the digest of the whole
blob can tell: then the parts are fetched again one by one, the doubtful ones first, and only until
the digest is right.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator

from pyollama.errors import DigestMismatch
from pyollama.store.registry.fetching import Fetcher, NoRanges
from pyollama.store.registry.hashing import Follower
from pyollama.store.registry.limiter import Limiter
from pyollama.store.registry.parts import Part, Partial
from pyollama.store.registry.patience import Patience
from pyollama.store.registry.remote import RemoteBlob
from pyollama.store.registry.session import Session

log = logging.getLogger(__name__)

CONNECTIONS = 8
_TICK = 0.1
_SHORT_TICK = 0.02


class Download:
    """One download of a blob into ``partial``, whose digest has to become ``digest``."""

    def __init__(
        self,
        session: Session,
        blob: RemoteBlob,
        partial: Partial,
        digest: str,
        *,
        limiter: Limiter | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._session = session
        self._blob = blob
        self._partial = partial
        self._wanted = digest.replace("-", ":", 1).lower()
        self._limiter = limiter or Limiter()
        self._patience = patience or Patience()

    def run(self) -> Iterator[int]:
        """Fetch what is missing; yields how many bytes are there, several times per second.

        At the end the bytes are complete, right and synced. Raises :class:`DigestMismatch` where
        the source itself does not have the right ones, which are then discarded. Closing the
        iterator aborts the session; what has come stays.
        """
        self._partial.check_room()
        try:
            yield from self._transfer(self._fetcher())
        except NoRanges:
            log.info("the registry knows no parts of blobs: one connection fetches the whole")
            self._partial.merge()
            yield from self._transfer(self._fetcher(ranges=False))

    def _fetcher(self, *, ranges: bool = True) -> Fetcher:
        return Fetcher(
            self._session,
            self._blob,
            self._partial.total,
            limiter=self._limiter,
            patience=self._patience,
            ranges=ranges,
        )

    def _transfer(self, fetcher: Fetcher) -> Iterator[int]:
        follower = Follower(self._partial)
        crew = _Crew(fetcher, self._partial)
        follower.start()
        try:
            while crew.working():
                yield self._partial.completed
            while follower.running(_TICK):
                self._session.check_stopped()
                yield self._partial.completed
            yield from self._verify(follower, fetcher)
        except NoRanges:
            raise
        except BaseException:
            self._session.abort()
            raise
        finally:
            follower.stop()
            crew.join()

    def _verify(self, follower: Follower, fetcher: Fetcher) -> Iterator[int]:
        found = follower.digest()
        if found == self._wanted:
            return
        log.warning("%s came as %s: its parts are fetched again", self._wanted, found)
        parts = self._partial.parts
        for number in sorted(range(len(parts)), key=lambda n: not parts[n].doubtful):
            yield self._partial.completed
            comparer = _Comparer(self._partial, parts[number])
            fetcher.fetch(comparer)
            if comparer.changed:
                found = follower.again_from(number)
            if found == self._wanted:
                return
        self._partial.discard()
        raise DigestMismatch(
            f"digest mismatch, file must be downloaded again: want {self._wanted}, got {found}"
        )


class _Crew:
    """The threads that fetch parts. The first one goes ahead, to find out the way."""

    def __init__(self, fetcher: Fetcher, partial: Partial) -> None:
        self._fetcher = fetcher
        self._partial = partial
        self._queue = deque(part for part in partial.parts if not part.done)
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def working(self) -> bool:
        """Wait a moment; whether there is still work. Raises the first error of a thread."""
        if not self._threads or (self._fetcher.ahead and len(self._threads) == 1):
            for _ in range(min(CONNECTIONS if self._threads else 1, len(self._queue))):
                self._start()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_TICK if self._fetcher.ahead else _SHORT_TICK)
                break
        if self._errors:
            raise self._errors[0]
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        self._queue.clear()
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="fetch a blob", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        try:
            while self._queue and not self._errors:
                self._fetch(self._queue.popleft())
        except IndexError:  # another thread took the last one
            return
        except BaseException as error:
            self._errors.append(error)

    def _fetch(self, part: Part) -> None:
        with self._partial.writer(part) as writer:
            smooth = self._fetcher.fetch(writer)
        part.doubtful = part.doubtful or not smooth


class _Comparer:
    """Puts a part that is there already in its place again, and notices what was different."""

    def __init__(self, partial: Partial, part: Part) -> None:
        self._partial = partial
        self.start = part.offset
        self.stop = part.stop
        self.changed = False

    def write(self, data: bytes) -> None:
        old = bytearray(len(data))
        if self._partial.read_into(memoryview(old), self.start) < len(data) or old != data:
            self._partial.write(data, self.start)
            self.changed = True
        self.start += len(data)

    def take_back(self, start: int) -> None:
        self.start = start
