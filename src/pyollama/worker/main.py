"""The worker process: ``python -m pyollama.worker.main FD``.

Two threads: this one reads messages, and the engine's own thread computes and sends its events. So
pings are answered while a batch is being decoded. What the server does not take at once is left to
a third thread (:mod:`pyollama.worker.outbox`), so a server that reads slowly never holds up a
decode. Imports are few, because every load of a model waits for them.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NoReturn, Protocol

from pyollama.engine.spec import LoadSpec
from pyollama.errors import ErrorInfo, PyollamaError
from pyollama.types import (
    EmbedRequest,
    EngineEvent,
    EngineInfo,
    EngineStats,
    Failed,
    GenerateRequest,
)
from pyollama.worker import wire
from pyollama.worker.outbox import Outbox

_PROGRESS_INTERVAL = 0.1
_PR_SET_PDEATHSIG = 1


class Core(Protocol):
    """The lower face of an engine. ``submit`` and ``abort`` return at once, from any thread."""

    @property
    def info(self) -> EngineInfo: ...
    def submit(self, request: GenerateRequest | EmbedRequest) -> None: ...
    def abort(self, request_id: str) -> None: ...
    def stats(self) -> EngineStats: ...
    def close(self) -> None: ...


Sink = Callable[[list[EngineEvent]], None]


class Loading(Protocol):
    """A load: ``run`` takes as long as it takes, ``value`` says meanwhile how far it is, 0 to 1."""

    @property
    def value(self) -> float: ...
    def run(self, spec: LoadSpec, sink: Sink) -> Core: ...


class Native(Protocol):
    """Everything native that the worker touches."""

    def loading(self) -> Loading: ...
    def drain_log(self) -> list[tuple[int, str]]: ...


class Worker:
    """Serves one socket until the server closes it or is gone."""

    def __init__(self, sock: socket.socket, native: Native) -> None:
        self._sock = sock
        self._native = native
        self._outbox = Outbox(sock, broken=_server_is_gone)
        self._loading: Loading | None = None
        self._core: Core | None = None
        self._log_level = 0

    def run(self) -> None:
        for message in self._messages():
            if isinstance(message, wire.Close):
                break
            self._handle(message)
        else:
            _server_is_gone()
        if self._core is not None:
            self._core.close()
        self._forward_log()
        self._outbox.close()
        if self._loading is not None:
            os._exit(0)  # the thread that loads cannot be joined in reasonable time

    def _messages(self) -> Iterator[wire.ToWorker]:
        reader = wire.FrameReader()
        while data := self._receive():
            for body in reader.feed(data):
                yield wire.decode_to_worker(body)

    def _receive(self) -> bytes:
        try:
            return self._sock.recv(1 << 18)
        except ConnectionError:
            return b""

    def _handle(self, message: wire.ToWorker) -> None:
        match message:
            case wire.Load(spec, log_level):
                self._log_level = log_level
                _show_own_log(log_level)
                self._loading = loading = self._native.loading()
                for name, work in (("load", self._load), ("progress", self._report)):
                    threading.Thread(
                        target=work, args=(spec, loading), name=name, daemon=True
                    ).start()
            case wire.Submit(request) | wire.Embed(request):
                self._submit(request)
            case wire.Abort(request_id) if self._core is not None:
                self._core.abort(request_id)
            case wire.Ping(serial):
                self._forward_log()
                stats = None if self._core is None else self._core.stats()
                self._outbox.send(wire.Pong(serial, stats))

    def _submit(self, request: GenerateRequest | EmbedRequest) -> None:
        if self._core is None:
            error = ErrorInfo("engine_error", "no model is loaded")
            self._outbox.send(wire.Events([Failed(request.id, error)]))
            return
        try:
            self._core.submit(request)
        except PyollamaError as refused:
            self._outbox.send(wire.Events([Failed(request.id, refused.info())]))

    def _load(self, spec: LoadSpec, loading: Loading) -> None:
        try:
            core = loading.run(spec, self._emit)
        except PyollamaError as error:
            answer: wire.FromWorker = wire.LoadFailed(error.info())
        else:
            self._core = core
            answer = wire.Ready(core.info)
        self._loading = None
        self._forward_log()
        self._outbox.send(answer)

    def _report(self, _: LoadSpec, loading: Loading) -> None:
        """Say how far the load is, as long as it lasts."""
        reported = -1.0
        while self._loading is loading:
            if loading.value > reported:
                reported = loading.value
                self._outbox.send(wire.Progress(reported))
            time.sleep(_PROGRESS_INTERVAL)

    def _emit(self, events: list[EngineEvent]) -> None:
        self._outbox.send(wire.Events(events))

    def _forward_log(self) -> None:
        lines = [line for line in self._native.drain_log() if line[0] >= self._log_level]
        if lines:
            self._outbox.send(wire.Log(lines))


def _server_is_gone() -> NoReturn:
    """Nobody is left to answer to, and the engine may be deep in a step."""
    os._exit(1)


def _crash(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """A thread failed unexpectedly: end them all, so that the server learns of it at once."""
    traceback.print_exception(kind, error, trace)
    sys.stderr.flush()
    os._exit(os.EX_SOFTWARE)


def _show_own_log(native_level: int) -> None:
    """Write our own lines to the output, which the server passes on.

    llama.cpp's are one level quieter than ours (``log.set_up``).
    """
    level = logging.DEBUG if native_level <= logging.INFO else logging.INFO
    logging.basicConfig(format="%(name)s: %(message)s")
    logging.getLogger("pyollama").setLevel(level)


def die_with_parent() -> None:
    """On Linux have the kernel kill this process when the server dies, whatever it is doing."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def serve(descriptor: int, native: Native) -> None:
    """Be the worker behind the inherited socket ``descriptor``."""
    faulthandler.enable(all_threads=False)  # the stack of a crash, for the last lines of output
    sys.excepthook = _crash
    threading.excepthook = lambda args: _crash(args.exc_type, args.exc_value, args.exc_traceback)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ending is the server's decision
    die_with_parent()
    with socket.socket(fileno=descriptor) as sock:
        Worker(sock, native).run()


def main() -> None:
    from pyollama.worker.llama import Llama

    serve(int(sys.argv[1]), Llama())


if __name__ == "__main__":
    main()
