"""The faces of a loaded model: one of messages and a sink, and an asynchronous one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pyollama.engine.backend import Backend
from pyollama.engine.loop import Abort, Close, Embed, EngineLoop, Generate, Restore, Sink
from pyollama.engine.spec import LoadSpec
from pyollama.engine.speculation.second_model import drafter_for
from pyollama.engine.speculation.speculator import Drafter
from pyollama.engine.tier import Tier
from pyollama.engine.tiers.keeper import keeper_for
from pyollama.errors import EngineClosed, EngineError, InvalidRequest, from_info
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

if TYPE_CHECKING:
    from pyollama.engine.native_backend import LoadProgress, NativeBackend


class EngineCore:
    """A model and the thread that runs it.

    The events of all requests go to ``sink``, one batch per step, from the engine thread. All
    methods but :meth:`close` return at once; all may be called from any thread. The id of a request
    must not be used twice.
    """

    def __init__(
        self,
        backend: Backend[Any],
        sink: Sink,
        tier: Tier | None = None,
        drafter: Drafter | None = None,
    ) -> None:
        self.info: EngineInfo = backend.info
        self._backend = backend
        self._loop: EngineLoop[Any] = EngineLoop(backend, sink, tier, drafter)
        self._thread = threading.Thread(target=self._loop.run, name="engine", daemon=True)
        self._thread.start()

    @classmethod
    def load(cls, spec: LoadSpec, sink: Sink, progress: LoadProgress | None = None) -> Self:
        """Load a model; takes as long as that takes. ``progress`` can cancel it (``Aborted``)."""
        parts = load_parts(spec, progress)
        return cls(parts.backend, sink, parts.tier, parts.drafter)

    def submit(self, request: GenerateRequest | EmbedRequest) -> None:
        """Take a request; raises ``EngineClosed`` instead if there will be no events for it."""
        now = time.perf_counter_ns()
        if isinstance(request, GenerateRequest):
            self._loop.post(Generate(request, now))
        else:
            self._loop.post(Embed(request, now))

    def abort(self, request_id: str) -> None:
        """End a request before the next step; one that is over already is none of our business."""
        with contextlib.suppress(EngineClosed):
            self._loop.post(Abort(request_id))
            if self._loop.sole == request_id:
                self._backend.abort()

    def save_state(self, request: GenerateRequest) -> Future[bytes]:
        """Compute the prompt of ``request`` and nothing else; the result is its KV state.

        States belong to the model as it was loaded, so there are none with other adapters.
        """
        if request.adapters is not None:
            raise InvalidRequest("adapters: a state is saved without", field="adapters")
        reply: Future[bytes] = Future()
        self._loop.post(Generate(request, time.perf_counter_ns(), reply))
        return reply

    def restore_state(self, tokens: list[int], state: bytes) -> Future[None]:
        """Make the KV state of ``tokens`` a retired prefix for the requests that follow."""
        reply: Future[None] = Future()
        self._loop.post(Restore(tokens, state, reply))
        return reply

    def stats(self) -> EngineStats:
        return self._loop.stats

    def close(self) -> None:
        """Free the model; running requests end with ``EngineClosed``. Waits for the thread."""
        with contextlib.suppress(EngineClosed):
            self._loop.post(Close())
            self._backend.abort()
        if self._thread is not threading.current_thread():  # engines may be dropped anywhere
            self._thread.join()


@dataclass(slots=True)
class _Stream:
    """Where the events of one request go: a queue that belongs to an event loop."""

    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[EngineEvent] = field(default_factory=asyncio.Queue)


class _Router:
    """Carries events from the engine thread to the event loops, one wake-up per loop and step."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def open(self, request_id: str) -> asyncio.Queue[EngineEvent]:
        if request_id in self._streams:
            raise InvalidRequest(f"id: {request_id!r} is in use", field="id")
        stream = self._streams[request_id] = _Stream(asyncio.get_running_loop())
        return stream.queue

    def close(self, request_id: str) -> None:
        self._streams.pop(request_id, None)

    def dispatch(self, events: list[EngineEvent]) -> None:
        batches: dict[asyncio.AbstractEventLoop, list[tuple[_Stream, EngineEvent]]] = {}
        for event in events:
            stream = self._streams.get(event.id)
            if stream is not None:
                batches.setdefault(stream.loop, []).append((stream, event))
        for loop, batch in batches.items():
            # A loop that was closed has cancelled its requests; nobody waits for these events.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_deliver, batch)


def _deliver(batch: list[tuple[_Stream, EngineEvent]]) -> None:
    for stream, event in batch:
        stream.queue.put_nowait(event)


class Engine:
    """A model in this process, for any number of tasks in any number of event loops.

    It implements :class:`~pyollama.engine.interface.EngineLike`. When it is dropped without having
    been closed, or the program ends, it closes itself.
    """

    def __init__(
        self,
        backend: Backend[Any],
        tier: Tier | None = None,
        drafter: Drafter | None = None,
    ) -> None:
        self._router = _Router()
        self._core = EngineCore(backend, self._router.dispatch, tier, drafter)
        weakref.finalize(self, self._core.close)

    @classmethod
    def load(cls, spec: LoadSpec, progress: LoadProgress | None = None) -> Self:
        """Load a model; takes as long as that takes. ``progress`` can cancel it (``Aborted``)."""
        return cls(*load_parts(spec, progress))

    @property
    def info(self) -> EngineInfo:
        return self._core.info

    async def generate(
        self, request: GenerateRequest
    ) -> AsyncGenerator[Tokens | ContextShifted | Finished, None]:
        """See :class:`~pyollama.engine.interface.EngineLike`."""
        events = self._router.open(request.id)
        over = False
        try:
            self._core.submit(request)
            while not over:
                event = await events.get()
                over = isinstance(event, Finished | Failed | Embedded)
                yield _generated(event)
        finally:
            self._router.close(request.id)
            if not over:
                self._core.abort(request.id)

    async def embed(self, request: EmbedRequest) -> Embedded:
        events = self._router.open(request.id)
        over = False
        try:
            self._core.submit(request)
            event = await events.get()
            over = True
        finally:
            self._router.close(request.id)
            if not over:
                self._core.abort(request.id)
        if isinstance(event, Failed):
            raise from_info(event.error)
        if not isinstance(event, Embedded):
            raise EngineError(f"an embedding request was answered with {type(event).__name__}")
        return event

    async def save_state(self, request: GenerateRequest) -> bytes:
        """See :meth:`EngineCore.save_state`."""
        return await asyncio.wrap_future(self._core.save_state(request))

    async def restore_state(self, tokens: list[int], state: bytes) -> None:
        """See :meth:`EngineCore.restore_state`."""
        await asyncio.wrap_future(self._core.restore_state(tokens, state))

    async def stats(self) -> EngineStats:
        return self._core.stats()

    async def close(self) -> None:
        """Free the model; running requests end with ``EngineClosed``."""
        await asyncio.to_thread(self._core.close)


def _generated(event: EngineEvent) -> Tokens | ContextShifted | Finished:
    if isinstance(event, Failed):
        raise from_info(event.error)
    if isinstance(event, Embedded):
        raise EngineError("a generation was answered with an embedding")
    return event


class Parts(NamedTuple):
    """What an engine is made of."""

    backend: NativeBackend
    tier: Tier | None
    drafter: Drafter | None


def load_parts(spec: LoadSpec, progress: LoadProgress | None = None) -> Parts:
    """Load them; takes as long as that takes. ``progress`` can cancel it (``Aborted``)."""
    from pyollama.engine.native_backend import load

    backend = load(spec, progress)
    return Parts(backend, keeper_for(spec, backend), drafter_for(spec, backend))
