"""The server's end of a worker: an engine whose model lives in another process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import count
from typing import Self, TypeVar, assert_never, cast

from pyollama.engine.spec import LoadSpec
from pyollama.errors import (
    EngineClosed,
    EngineError,
    ErrorInfo,
    InvalidRequest,
    ModelLoadError,
    PyollamaError,
    WorkerDied,
    from_info,
)
from pyollama.types import (
    ContextShifted,
    Embedded,
    EmbedRequest,
    EngineEvent,
    EngineInfo,
    EngineStats,
    Failed,
    Finished,
    GenerateRequest,
    Tokens,
)
from pyollama.worker import wire
from pyollama.worker.backlog import Backlog
from pyollama.worker.health import DEFAULT_LIMITS, Health, WorkerLimits
from pyollama.worker.process import WORKER_COMMAND, WorkerProcess

_log = logging.getLogger("pyollama.worker")
_native_log = logging.getLogger("pyollama.native")
_EXIT_GRACE = 1.0
_T = TypeVar("_T")


class WorkerProxy:
    """Use :meth:`start` to make one. Belongs to the event loop that started it.

    Whatever happens to the worker, every request ends: with its own events, with
    :class:`EngineClosed` after :meth:`close`, else with :class:`WorkerDied`.
    """

    info: EngineInfo

    def __init__(
        self,
        process: WorkerProcess,
        limits: WorkerLimits,
        on_progress: Callable[[float], None] | None,
    ) -> None:
        self._process = process
        self._limits = limits
        self._on_progress = on_progress
        self._on_death: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._ready: asyncio.Future[EngineInfo] = self._loop.create_future()
        self._load_deadline: asyncio.Timeout | None = None
        self._requests: dict[str, Backlog] = {}
        self._pings: dict[int, asyncio.Future[EngineStats]] = {}
        self._serials = count()
        self._health = Health(limits)
        self._heard = False
        self._beat: asyncio.TimerHandle | None = None
        self._verdict = ""
        self._closing = False
        self._burial: asyncio.Task[None] | None = None
        self._end_error: ErrorInfo | None = None

    # --- life -----------------------------------------------------------------------------------

    @classmethod
    async def start(
        cls,
        spec: LoadSpec,
        *,
        on_progress: Callable[[float], None] | None = None,
        on_death: Callable[[], None] | None = None,
        limits: WorkerLimits = DEFAULT_LIMITS,
        command: Sequence[str] = WORKER_COMMAND,
    ) -> Self:
        """Spawn a worker and load the model; cancelling ends both.

        ``on_death`` is called once if the loaded worker ends without having been asked to, before
        any of its requests hears of it.
        """
        process, sock = await WorkerProcess.spawn(command)
        proxy = cls(process, limits, on_progress)
        try:
            await proxy._loop.create_unix_connection(proxy._channel, sock=sock)
            proxy._schedule_beat()
            proxy.info = await proxy._load(spec)
            await proxy._check_alive()
        except BaseException:
            if proxy._transport is None:
                sock.close()
            await proxy._end_now()
            raise
        proxy._on_death = on_death
        return proxy

    def _channel(self) -> _Channel:
        return _Channel(self._connected, self._receive, self._condemn, self._lost)

    async def _load(self, spec: LoadSpec) -> EngineInfo:
        self._send(wire.Load(spec, _native_log.getEffectiveLevel()))
        limit = self._limits.load_timeout
        try:
            async with asyncio.timeout(limit if limit > 0 else None) as self._load_deadline:
                return await self._ready
        except TimeoutError as error:
            raise ModelLoadError(
                f"loading {spec.path} made no progress for {limit:g} s",
                hint="raise OLLAMA_LOAD_TIMEOUT if the disk is that slow",
            ) from error

    async def _check_alive(self) -> None:
        """It may have ended between the last step of the load and now."""
        if self._burial is not None:
            await asyncio.shield(self._burial)
            self._check_open()

    async def close(self) -> None:
        """End the worker and wait until it is gone. Its requests end with ``EngineClosed``."""
        if self._burial is None:
            self._closing = True
            self._send(wire.Close())
        await asyncio.shield(self._bury(self._limits.close_timeout))

    async def _end_now(self) -> None:
        self._closing = True
        self._process.kill()
        await asyncio.shield(self._bury(_EXIT_GRACE))

    def _lost(self) -> None:
        """The worker's end of the socket is closed, or the worker is beyond hope."""
        if self._burial is None and not self._closing and self._on_death is not None:
            self._on_death()
        self._bury(_EXIT_GRACE)

    def _bury(self, grace: float) -> asyncio.Task[None]:
        if self._burial is None:
            name = f"worker-{self._process.pid}-burial"
            self._burial = self._loop.create_task(self._end(grace), name=name)
        return self._burial

    async def _end(self, grace: float) -> None:
        """Give the process ``grace`` seconds to end, then end all that depends on it."""
        await self._process.wait(grace)
        if self._beat is not None:
            self._beat.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._end_error = error = self._reason()
        for backlog in self._requests.values():
            backlog.fail(from_info(error))
        for waiting in self._pings.values():
            _settle(waiting, from_info(error))
        _settle(self._ready, ModelLoadError(error.message))

    def _reason(self) -> ErrorInfo:
        if self._closing:
            return EngineClosed("the model was unloaded before the request could end").info()
        ending = f"{self._verdict} and was ended" if self._verdict else self._process.ending
        error = WorkerDied(
            f"the worker process {self._process.pid} {ending}{self._process.last_lines}",
            hint="the next request starts a new one",
            pid=self._process.pid,
        )
        _log.error("%s", error)
        return error.info()

    # --- use ------------------------------------------------------------------------------------

    async def generate(
        self, request: GenerateRequest
    ) -> AsyncGenerator[Tokens | ContextShifted | Finished, None]:
        """See :class:`~pyollama.engine.interface.EngineLike`. Ids must not be used twice."""
        backlog = self._open(request.id)
        ended = False
        try:
            self._send(wire.Submit(request))
            while not ended:
                event = await backlog.next()
                if isinstance(event, Tokens):
                    yield event
                else:
                    ended = isinstance(event, Finished | Failed)
                    yield _output(event)
        finally:
            self._forget(request.id, ended)

    async def embed(self, request: EmbedRequest) -> Embedded:
        backlog = self._open(request.id)
        ended = False
        try:
            self._send(wire.Embed(request))
            event = await backlog.next()
            ended = True
        finally:
            self._forget(request.id, ended)
        match event:
            case Embedded():
                return event
            case Failed(error=error):
                raise from_info(error)
            case _:
                raise EngineError(f"an embedding was answered with {type(event).__name__}")

    async def stats(self) -> EngineStats:
        self._check_open()
        serial = next(self._serials)
        waiting: asyncio.Future[EngineStats] = self._loop.create_future()
        self._pings[serial] = waiting
        self._send(wire.Ping(serial))
        try:
            return await waiting
        finally:
            del self._pings[serial]

    def _open(self, request_id: str) -> Backlog:
        self._check_open()
        if request_id in self._requests:
            raise InvalidRequest(
                f"a request with the id {request_id!r} is running already", field="id"
            )
        self._requests[request_id] = backlog = Backlog()
        if len(self._requests) == 1:
            self._schedule_beat()  # at the pace of a busy worker
        return backlog

    def _forget(self, request_id: str, ended: bool) -> None:
        del self._requests[request_id]
        if not ended:
            self._send(wire.Abort(request_id))

    def _check_open(self) -> None:
        if self._end_error is not None:
            raise from_info(self._end_error)
        if self._closing:
            raise EngineClosed("the model is being unloaded")

    # --- the socket -----------------------------------------------------------------------------

    def _connected(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def _send(self, message: wire.ToWorker) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(wire.encode(message))

    def _receive(self, message: wire.FromWorker) -> None:
        self._heard = True
        match message:
            case wire.Events(events):  # first, and in few steps: there is one for every token
                for event in events:
                    if (backlog := self._requests.get(event.id)) is not None:
                        backlog.put(event)
            case wire.Pong(serial, stats):
                self._note_pong(serial, stats)
            case wire.Log(records):
                for level, line in records:
                    _native_log.log(level, "[%d] %s", self._process.pid, line)
            case wire.Progress(value):
                self._note_progress(value)
            case wire.Ready(info):
                self._health = Health(self._limits)  # the time of the load does not count
                _settle(self._ready, info)
            case wire.LoadFailed(error):
                _settle(self._ready, from_info(error))
            case _:
                assert_never(message)

    def _note_pong(self, serial: int, stats: EngineStats | None) -> None:
        if stats is None:
            return
        self._health.answered(stats)
        if (waiting := self._pings.get(serial)) is not None:
            _settle(waiting, stats)

    def _note_progress(self, value: float) -> None:
        limit = self._limits.load_timeout
        if self._load_deadline is not None and not self._ready.done() and limit > 0:
            self._load_deadline.reschedule(self._loop.time() + limit)
        if self._on_progress is not None:
            self._on_progress(value)

    # --- the heartbeat --------------------------------------------------------------------------

    def _schedule_beat(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        busy = self._requests or not self._ready.done()
        interval = self._limits.busy_ping if busy else self._limits.idle_ping
        self._beat = self._loop.call_later(interval, self._on_beat, interval)

    def _on_beat(self, interval: float) -> None:
        if self._heard:
            self._heard = False
            self._health.heard()
        self._health.beat(interval)
        stopped = self._health.suspicious and self._process.stopped
        if verdict := self._health.verdict(stopped=stopped, loading=not self._ready.done()):
            self._condemn(verdict)
            return
        self._send(wire.Ping(next(self._serials)))
        self._schedule_beat()

    def _condemn(self, verdict: str) -> None:
        self._verdict = verdict
        self._process.kill()
        self._lost()


def _settle(future: asyncio.Future[_T], outcome: _T | PyollamaError) -> None:
    if future.done():
        return
    if isinstance(outcome, PyollamaError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _output(event: EngineEvent) -> Tokens | ContextShifted | Finished:
    match event:
        case Failed(error=error):
            raise from_info(error)
        case Embedded():
            raise EngineError("a generation was answered with an embedding")
        case _:
            return event


class _Channel(asyncio.Protocol):
    """Cuts what arrives into messages."""

    def __init__(
        self,
        connected: Callable[[asyncio.Transport], None],
        receive: Callable[[wire.FromWorker], None],
        condemn: Callable[[str], None],
        lost: Callable[[], None],
    ) -> None:
        self._connected = connected
        self._receive = receive
        self._condemn = condemn
        self._lost = lost
        self._reader = wire.FrameReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The socket is a stream, but the transports of uvloop do not derive from asyncio's.
        self._connected(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._reader.feed(data):
                self._receive(wire.decode_from_worker(body))
        except wire.UNREADABLE as error:
            self._condemn(f"sent what cannot be read ({error})")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()
