"""One template process, seen from the server."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import Future
from multiprocessing.connection import Connection

import msgspec

from pyollama.errors import EngineError, from_info
from pyollama.templating.wire import Answer, Ask, Source

COMMAND = (sys.executable, "-m", "pyollama.templating.process")

_HEAPS = {"MALLOC_ARENA_MAX": "2"}
"""Each of GNU's heaps takes address space, which is what the limit of memory counts."""

_PATIENCE = 120.0
"""Seconds after which a process that does not say anything is taken for stopped."""


class ChildGone(Exception):
    """The process has ended. ``explained``: because of another request, and not of this one."""

    def __init__(self, *, explained: bool) -> None:
        super().__init__()
        self.explained = explained


class Child:
    """Safe to use from several threads."""

    def __init__(self, seconds: float, memory: int) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [*COMMAND, str(theirs.fileno()), f"{seconds:g}", str(memory)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    env={**_HEAPS, **os.environ},
                )
        except OSError as error:
            ours.close()
            raise EngineError(f"the template process cannot be started: {error}") from error
        # A write that blocks for so long fails: the process does not read.
        timeout = struct.pack("@ll", int(_PATIENCE), 0)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        self._channel = Connection(ours.detach())
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[Answer]] = {}
        self._gone = self._explained = False
        self._reader = threading.Thread(target=self._read, name="templates", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def usable(self) -> bool:
        return not self._gone

    def render(self, source: Source, request: str) -> str:
        """Raises what the request is to blame for, and :class:`ChildGone`."""
        future: Future[Answer] = Future()
        with self._lock:
            if self._gone:
                raise ChildGone(explained=self._explained)
            number = next(self._numbers)
            self._waiting[number] = future
            try:
                self._channel.send_bytes(msgspec.msgpack.encode(Ask(number, source, request)))
            except OSError:
                del self._waiting[number]
                self.kill()
                raise ChildGone(explained=self._explained) from None
        try:
            answer = future.result(_PATIENCE)
        except TimeoutError:
            self.kill()
            raise ChildGone(explained=False) from None
        if answer.error is not None:
            raise from_info(answer.error)
        return answer.rendered

    def kill(self) -> None:
        self._gone = True
        self._process.kill()

    def close(self) -> None:
        """End the process, and wait until it has."""
        self.kill()
        self._reader.join()

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError, msgspec.DecodeError, UnicodeDecodeError):
            while True:
                answer = msgspec.msgpack.decode(self._channel.recv_bytes(), type=Answer)
                self._gone |= answer.final
                self._explained |= answer.final
                with self._lock:
                    future = self._waiting.pop(answer.id, None)
                if future is not None:
                    future.set_result(answer)
        self.kill()
        self._process.wait()
        with self._lock:
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for future in waiting:
            future.set_exception(ChildGone(explained=self._explained))
        self._channel.close()
