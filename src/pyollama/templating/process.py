"""The process that runs templates. It has no model, no files and no other duty.

A template is a program of whoever made the model. llama.cpp's interpreter knows no limit of time,
memory or depth, and nothing can stop it from outside but the end of its process.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import threading
import time
from collections import OrderedDict
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

import msgspec

from pyollama._native import DetachedTemplate
from pyollama.errors import ErrorInfo, OutOfMemory, PyollamaError, TemplateError
from pyollama.templating.wire import Answer, Ask, Source

THREADS = 4
MOST_TEMPLATES = 32
PER_SECOND = 100_000
"""Characters of a request for which it gets another second; it needs a tenth of that."""
MOST_TEXT = 64 << 20
"""Characters of what one request comes to, with all that goes with the prompt."""

_STACK = 16 << 20
_HEAPS = 256 << 20
_GLANCE = 0.05
"""Seconds between two looks at what the running requests have taken."""


class Templates:
    """Parsed templates, those used last. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parsed: OrderedDict[Source, DetachedTemplate] = OrderedDict()

    def of(self, source: Source) -> DetachedTemplate:
        with self._lock:
            if source in self._parsed:
                self._parsed.move_to_end(source)
                return self._parsed[source]
        parsed = DetachedTemplate(source.text, bos=source.bos, eos=source.eos)
        with self._lock:
            self._parsed[source] = parsed
            while len(self._parsed) > MOST_TEMPLATES:
                self._parsed.popitem(last=False)
        return parsed


class Desk:
    """Takes requests from the channel, has them rendered by threads, and watches these."""

    def __init__(self, channel: Connection, seconds: float) -> None:
        self._channel = channel
        self._seconds = seconds
        self._templates = Templates()
        self._queue: SimpleQueue[Ask] = SimpleQueue()
        self._sending = threading.Lock()
        self._open: dict[int, tuple[int, float] | None] = {}  # by request: clock, where it ends

    def serve(self) -> None:
        """Until the server closes the channel."""
        threading.stack_size(_STACK)
        for _ in range(THREADS):
            threading.Thread(target=self._work, daemon=True).start()
        while True:
            if self._channel.poll(_GLANCE if self._open else None):
                ask = msgspec.msgpack.decode(self._channel.recv_bytes(), type=Ask)
                self._open[ask.id] = None
                self._queue.put(ask)
            self._end_what_takes_too_long()

    def _work(self) -> None:
        clock = _clock_of_this_thread()
        while True:
            ask = self._queue.get()
            allowed = self._seconds + len(ask.request) / PER_SECOND
            self._open[ask.id] = clock, time.clock_gettime(clock) + allowed
            answer = self._answer(ask)
            del self._open[ask.id]
            self._send(answer)

    def _answer(self, ask: Ask) -> Answer:
        try:
            template = self._templates.of(ask.source)
            rendered = template.render(ask.request) if ask.request else ""
        except (MemoryError, OutOfMemory):
            return _refused(ask, "it takes too much memory")
        except PyollamaError as error:
            if "bad_alloc" in error.message:
                return _refused(ask, "it takes too much memory")
            return Answer(ask.id, error=error.info())
        if len(rendered) > MOST_TEXT:
            return _refused(ask, f"it makes more than {MOST_TEXT} characters")
        return Answer(ask.id, rendered)

    def _send(self, answer: Answer) -> None:
        data = msgspec.msgpack.encode(answer)
        with self._sending, contextlib.suppress(OSError):  # a server that is gone needs no answer
            self._channel.send_bytes(data)

    def _end_what_takes_too_long(self) -> None:
        for number, started in list(self._open.items()):
            if started is not None and time.clock_gettime(started[0]) > started[1]:
                error = _error("it takes more processor time than a template may")
                self._send(Answer(number, error=error, final=True))
                os._exit(0)


def _refused(ask: Ask, why: str) -> Answer:
    return Answer(ask.id, error=_error(why))


def _error(why: str) -> ErrorInfo:
    return ErrorInfo(TemplateError.code, f"chat template: {why}")


def _clock_of_this_thread() -> int:
    """Processor time where the system has it by thread, so that a busy machine blames nobody."""
    find = getattr(time, "pthread_getcpuclockid", None)
    return find(threading.get_ident()) if find else time.CLOCK_MONOTONIC


def _limit_memory(most: int) -> None:
    used = Path("/proc/self/statm")
    if used.exists():
        mapped = int(used.read_text().split()[0]) * resource.getpagesize()
        limit = mapped + most + THREADS * _STACK + _HEAPS
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ending is the server's decision
    channel, seconds, memory = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory(memory)
    with contextlib.suppress(EOFError, OSError):
        Desk(Connection(channel), seconds).serve()
    os._exit(0)  # whatever still runs: nobody waits for it


if __name__ == "__main__":
    main()
