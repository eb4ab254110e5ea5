"""The sending side of a worker's socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from pyollama.worker import wire

_CHUNK = 1 << 16


class Outbox:
    """Sends messages from any thread, in order, and makes none of them wait for the reader.

    What the kernel takes at once is sent by the caller itself: that is one short system call, and
    no other thread has to wake up and to compete for the interpreter. Only when the reader has
    fallen so far behind that the socket is full, a thread of our own sends the rest.

    ``broken`` is called when the reader is gone, from the thread that notices, maybe repeatedly.
    """

    def __init__(self, sock: socket.socket, broken: Callable[[], object]) -> None:
        self._sock = sock
        self._broken = broken
        self._pending = bytearray()
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._send_pending, name="outbox", daemon=True)
        self._thread.start()

    def send(self, message: wire.FromWorker) -> None:
        frame = wire.encode(message)
        with self._changed:
            if not self._pending:
                del frame[: self._write(frame, socket.MSG_DONTWAIT)]
                if not frame:
                    return
                self._changed.notify()
            self._pending += frame

    def close(self) -> None:
        """Send what is pending and end. The socket stays open."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _write(self, data: bytes | bytearray, flags: int = 0) -> int:
        """The number of bytes that need not be sent any more."""
        try:
            return self._sock.send(data, flags)
        except BlockingIOError:
            return 0
        except OSError:
            self._broken()
            return len(data)

    def _send_pending(self) -> None:
        """Body of the thread. What it is sending stays pending, so nothing can overtake it."""
        while True:
            with self._changed:
                while not self._pending:
                    if self._closing:
                        return
                    self._changed.wait()
                chunk = bytes(self._pending[:_CHUNK])
            sent = self._write(chunk)
            with self._changed:
                del self._pending[:sent]
