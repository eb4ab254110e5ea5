"""One guidance process, seen from the engine."""

from __future__ import annotations

import contextlib
import mmap
import socket
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np
import psutil

from pyollama.engine.guidance.interface import Masks
from pyollama.engine.guidance.wire import (
    ChildGone,
    Open,
    Opened,
    Ready,
    Step,
    Stepped,
    row_bytes,
    row_words,
)
from pyollama.errors import Busy, EngineError, InvalidGrammar
from pyollama.types import Grammar

if TYPE_CHECKING:
    from pyollama.engine.guidance.guides import GrammarGuide

COMMAND = (sys.executable, "-m", "pyollama.engine.guidance.process")
ROWS = 256
"""How many guides can run at a time."""

START_SECONDS = 60.0
_DIED = "the guidance process died"
_KILL_SECONDS = 5.0
_PATIENCE = 0.25

M = TypeVar("M")


class Child:
    """``open``, ``retire`` and ``start`` belong to the thread that opens guides, the rest to the
    engine's; ``kill`` may be called from any.
    """

    def __init__(self, path: str, n_vocab: int, threads: int) -> None:
        opening, their_opening = _channel()
        stepping, their_stepping = _channel()
        memory = tempfile.TemporaryFile()  # noqa: SIM115 - the mapping keeps it
        memory.truncate(ROWS * row_bytes(n_vocab))
        theirs = (their_opening.fileno(), their_stepping.fileno(), memory.fileno())
        with their_opening, their_stepping, memory:
            self._process = subprocess.Popen(
                [*COMMAND, *map(str, theirs), str(threads), path],
                stdin=subprocess.DEVNULL,
                pass_fds=theirs,
                start_new_session=True,
            )
            shared = mmap.mmap(memory.fileno(), 0)
        self._watched = psutil.Process(self._process.pid)
        self.masks: Masks = np.frombuffer(shared, np.uint32).reshape(ROWS, row_words(n_vocab))
        self._control = opening
        self._channel = stepping
        self._guides: dict[int, GrammarGuide] = {}
        self._free = list(range(ROWS))
        self._step = Step([], [], [])
        self._sent = 0
        self._ready = False
        self._retired = False

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def usable(self) -> bool:
        """Whether new guides may be opened in it."""
        return self.alive and not self._retired

    @property
    def pid(self) -> int:
        return self._process.pid

    # --- opening ----------------------------------------------------------------------------------

    def open(self, guide: GrammarGuide, grammar: Grammar, seconds: float) -> str:
        """Returns what is wrong with the grammar, or nothing.

        Raises ``TimeoutError`` when that takes more than ``seconds`` of processor time,
        ``ChildGone`` and ``EngineError``.
        """
        self._wait_until_ready()
        try:
            self._control.send_bytes(msgspec.msgpack.encode(Open(guide.number, grammar)))
        except OSError as error:
            raise ChildGone(_DIED) from error
        answer = self._answer(Opened, seconds)
        if not answer.error:
            self._guides[guide.number] = guide
        return answer.error

    def _wait_until_ready(self) -> None:
        if self._ready:
            return
        try:
            error = self._answer(Ready, START_SECONDS).error
        except (ChildGone, TimeoutError) as gone:
            self.kill()
            raise EngineError("the guidance process did not start") from gone
        if error:
            self.kill()
            raise EngineError(f"answers of this model cannot be constrained: {error}")
        self._ready = True

    def _answer(self, kind: type[M], seconds: float) -> M:
        try:
            if self._comes(self._control, seconds):
                return msgspec.msgpack.decode(self._control.recv_bytes(), type=kind)
        except (EOFError, OSError) as error:
            raise ChildGone(_DIED) from error
        raise TimeoutError

    def _comes(self, channel: Connection, seconds: float) -> bool:
        """Wait for an answer until the process has worked on it for ``seconds``."""
        if channel.poll(_PATIENCE):
            return True
        end = self._worked() + seconds
        while self._worked() < end:
            if channel.poll(_PATIENCE):
                return True
        return False

    def _worked(self) -> float:
        """Seconds of processor time. A busy machine must not make a grammar look bad."""
        try:
            times = self._watched.cpu_times()
        except psutil.NoSuchProcess as error:
            raise EOFError from error
        return times.user + times.system

    def retire(self) -> None:
        """Let the guides that are on their way come to their end, and open no other."""
        self._retired = True
        if not self._guides:
            self.kill()

    # --- steps ------------------------------------------------------------------------------------

    def want(self, guide: GrammarGuide) -> None:
        """Have the next mask of ``guide`` made with the next :meth:`flush`."""
        if guide.row < 0 and self._free:
            guide.row = self._free.pop()
        if guide.row < 0:
            guide.error = Busy(f"more than {ROWS} answers in a given format at a time")
        elif guide.error is None:
            self._step.wanted.append((guide.number, guide.row))

    def accept(self, guide: GrammarGuide, token: int) -> None:
        if guide.error is None:
            self._step.accepted.append((guide.number, token))

    def drop(self, guide: GrammarGuide) -> None:
        if self._guides.pop(guide.number, None) is None:
            return
        if guide.row >= 0:
            self._free.append(guide.row)
        self._step.accepted = [pair for pair in self._step.accepted if pair[0] != guide.number]
        self._step.wanted = [pair for pair in self._step.wanted if pair[0] != guide.number]
        self._step.closed.append(guide.number)
        if self._retired and not self._guides:
            self.kill()

    def flush(self) -> None:
        if not self._step:
            return
        try:
            self._channel.send_bytes(msgspec.msgpack.encode(self._step))
            self._sent += 1
        except OSError:
            self._fail_all(_DIED)
        self._step = Step([], [], [])

    def collect(self, seconds: float) -> None:
        """Wait until all masks that were asked for are there, or will never be."""
        try:
            while self._sent:
                if not self._comes(self._channel, seconds):
                    self.kill()
                    self._fail_all(f"a mask took more than {seconds:g} s")
                    return
                done = msgspec.msgpack.decode(self._channel.recv_bytes(), type=Stepped)
                self._sent -= 1
                self._note(done)
        except (EOFError, OSError):
            self._fail_all(_DIED)

    def _note(self, done: Stepped) -> None:
        for number, error in done.failed.items():
            if number in self._guides:
                why = f"the grammar could not be followed: {error}"
                self._guides[number].error = InvalidGrammar(why)
        for number in done.complete:
            if number in self._guides:
                self._guides[number].complete = True

    def _fail_all(self, why: str) -> None:
        self._sent = 0
        self._retired = True
        for guide in self._guides.values():
            guide.error = guide.error or EngineError(why)

    # --- the end ----------------------------------------------------------------------------------

    def kill(self) -> None:
        self._retired = True
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_SECONDS)


def _channel() -> tuple[Connection, socket.socket]:
    """Our end, and the one that the process inherits."""
    ours, theirs = socket.socketpair()
    return Connection(ours.detach()), theirs
