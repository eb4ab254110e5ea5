"""Hashing a blob while it comes: the beginning that is whole is read back and hashed behind it."""

from __future__ import annotations

import hashlib
import threading

from pyollama.errors import StoreError
from pyollama.store.registry.parts import Part, Partial

_BUFFER = 1 << 20
_POLL = 0.02


class Follower:
    """Hashes a partial download in order, in a thread of its own, and has it written to disk.

    It keeps the state of the hash at the beginning of each part, so that a part that is exchanged
    later does not cost the parts before it again.
    """

    def __init__(self, partial: Partial) -> None:
        self._partial = partial
        self._states = [hashlib.sha256()]
        self._restarts: list[int] = []
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="hash a blob", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def running(self, seconds: float) -> bool:
        """Wait a moment; whether there is still something to hash."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the thread, whether or not it was finished."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def digest(self) -> str:
        """The digest of the whole blob, once the thread has ended by itself."""
        if self._error is not None:
            raise self._error
        for number, part in enumerate(self._partial.parts):
            if self._restarts[number] != part.restarts:
                return self.again_from(number)
        return f"sha256:{self._states[-1].hexdigest()}"

    def again_from(self, number: int) -> str:
        """The digest of the whole blob, with the parts from the one at ``number`` on read again."""
        del self._states[number + 1 :]
        del self._restarts[number:]
        for part in self._partial.parts[number:]:
            self._follow(part)
        self._partial.sync()
        return self.digest()

    def _run(self) -> None:
        try:
            for part in self._partial.parts:
                self._follow(part)
                if self._stopped.is_set():
                    return
                self._partial.begin_sync(part)
            self._partial.sync()
        except BaseException as error:
            self._error = error

    def _follow(self, part: Part) -> None:
        state, place, restarts = self._states[-1].copy(), part.offset, part.restarts
        buffer = memoryview(bytearray(min(_BUFFER, part.size)))
        while restarts != part.restarts or place < part.stop:
            if restarts != part.restarts:  # bytes were taken back, perhaps such as were hashed
                restarts = part.restarts
                state, place = self._states[-1].copy(), part.offset
            if self._stopped.is_set():
                return
            ready = part.start - place
            if ready <= 0:
                self._stopped.wait(_POLL)
                continue
            count = self._partial.read_into(buffer[:ready], place)
            if not count:
                raise StoreError(f"{self._partial.path} became shorter while it was written")
            state.update(buffer[:count])
            place += count
        self._states.append(state)
        self._restarts.append(restarts)
