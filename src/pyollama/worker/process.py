"""The worker as an operating-system process: spawned, watched, always waited for."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Sequence

import psutil

from pyollama.errors import ModelLoadError

WORKER_COMMAND = (sys.executable, "-m", "pyollama.worker.main")
_OPENMP = {"GOMP_SPINCOUNT": "4000"}
"""How long a compute thread spins for the others before it sleeps. GNU OpenMP's own choice is
hundreds of times longer: no faster on an idle machine, and on a busy one the spinning thread takes
the core from the one it waits for, so that a token can take a second."""

_TAIL_LINES = 20
_LINE_BYTES = 2000
_KILL_GRACE = 2.0
_OUTPUT_GRACE = 0.5
_log = logging.getLogger("pyollama.worker")


class WorkerProcess:
    """One child process, and the last lines it wrote."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._output = asyncio.create_task(self._read_output(), name=f"worker-{process.pid}-output")
        self.pid = process.pid

    @classmethod
    async def spawn(
        cls, command: Sequence[str] = WORKER_COMMAND
    ) -> tuple[WorkerProcess, socket.socket]:
        """Start ``command`` with the number of its socket as last argument.

        The child gets a session of its own, so that neither Ctrl-C nor Ctrl-Z in the server's
        terminal reaches it. It must be spawned by a thread that outlives it: on Linux a child that
        asked for it dies with the thread, not only with the process, that made it.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    env={**_OPENMP, **os.environ},
                )
        except OSError as error:
            ours.close()
            raise ModelLoadError(f"the worker process cannot be started: {error}") from error
        except asyncio.CancelledError:
            ours.close()
            raise
        return cls(process), ours

    @property
    def stopped(self) -> bool:
        """Whether a signal has stopped it (not a debugger)."""
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        except psutil.Error:
            return False

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def wait(self, grace: float) -> None:
        """Reap the process, which gets ``grace`` seconds to end by itself."""
        try:
            async with asyncio.timeout(grace):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._wait_for_kill()
        await asyncio.wait([self._output], timeout=_OUTPUT_GRACE)
        self._output.cancel()  # still running only if a grandchild holds the pipe

    async def _wait_for_kill(self) -> None:
        try:
            async with asyncio.timeout(_KILL_GRACE):
                await self._process.wait()
        except TimeoutError:
            # Stuck in the kernel, for example in a driver. It is reaped whenever that ends.
            _log.error("worker %d does not end although it was killed", self.pid)

    @property
    def ending(self) -> str:
        """How it ended; known after :meth:`wait`."""
        return _ending(self._process.returncode)

    @property
    def last_lines(self) -> str:
        """The end of its output, each line on a line of its own."""
        return "".join(f"\n{line}" for line in self._tail)

    async def _read_output(self) -> None:
        stream = self._process.stdout
        assert stream is not None  # asked for in spawn()
        rest = b""
        while chunk := await stream.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._note(line)
            if len(rest) > _LINE_BYTES:
                self._note(rest)
                rest = b""
        self._note(rest)

    def _note(self, line: bytes) -> None:
        text = line[:_LINE_BYTES].decode("utf-8", "replace").rstrip()
        if text:
            self._tail.append(text)
            _log.info("[%d] %s", self.pid, text)


def _ending(code: int | None) -> str:
    if code is None:
        return "is still running"
    if code >= 0:
        return f"exited with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"
