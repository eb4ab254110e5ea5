"""The engine thread: the only one that touches the model.

Others post messages into the inbox. The thread takes them in, runs one step after the other as long
as there is work, hands the events of every step to the sink as one batch, and sleeps in the inbox
when there is none. Every request that was taken in ends with exactly one terminal event.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic

import msgspec

from pyollama.engine.backend import Backend, S
from pyollama.engine.embedder import Embedder
from pyollama.engine.generator import Generator
from pyollama.engine.guidance.interface import Guide
from pyollama.engine.job import Job
from pyollama.engine.speculation.speculator import Drafter, Speculator
from pyollama.engine.tier import Tier
from pyollama.errors import EngineClosed, EngineError, PyollamaError
from pyollama.types import EmbedRequest, EngineEvent, EngineStats, GenerateRequest

log = logging.getLogger(__name__)

Sink = Callable[[list[EngineEvent]], None]
"""Gets the events of a step, in the engine thread: it has to be quick and must not raise."""


@dataclass(frozen=True, slots=True)
class Generate:
    """With a ``reply`` the KV state of the prompt is wanted and there are no events."""

    request: GenerateRequest
    submitted: int
    reply: Future[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Embed:
    request: EmbedRequest
    submitted: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The guide of a request is there, or will never be."""

    id: str
    guide: Future[Guide]


@dataclass(frozen=True, slots=True)
class Abort:
    id: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Put a KV state back as a retired prefix."""

    tokens: list[int]
    state: bytes
    reply: Future[None]


@dataclass(frozen=True, slots=True)
class Close:
    """End everything; the last message."""


Message = Generate | Opened | Embed | Abort | Restore | Close


class EngineLoop(Generic[S]):
    """``run`` is the body of the thread; the rest may be read and called from any thread."""

    def __init__(
        self,
        backend: Backend[S],
        sink: Sink,
        tier: Tier | None = None,
        drafter: Drafter | None = None,
    ) -> None:
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._closing = False
        self._closing_lock = threading.Lock()
        self._backend = backend
        self._sink = sink
        self._events: list[EngineEvent] = []
        speculator = Speculator(backend.info.n_ctx, drafter)
        self._generator = Generator(backend, self._events.append, tier, speculator)
        self._embedder = Embedder(backend, self._events.append)
        self._opening: dict[str, Job[S]] = {}
        self._steps = 0
        self._open = True

    @property
    def stats(self) -> EngineStats:
        """Read while the thread may be counting: each number is right, if not of one moment."""
        info, totals = self._backend.info, self._generator.totals
        return EngineStats(
            waiting=self._generator.waiting + len(self._opening),
            running=self._generator.running + self._embedder.running,
            slots=info.n_slots,
            cells_used=self._generator.cells_used,
            cells=self._backend.limits.cells,
            steps=self._steps,
            preemptions=self._generator.preemptions,
            evictions=self._generator.evictions,
            finished=totals.finished,
            hits=totals.hits,
            prompt_tokens=totals.prompt_tokens,
            cached_tokens=totals.cached_tokens,
            computed_tokens=totals.computed_tokens,
            sampled_tokens=totals.sampled_tokens,
        )

    @property
    def sole(self) -> str | None:
        """The one request that is being computed right now, if there is just one."""
        return self._generator.sole

    def post(self, message: Message) -> None:
        """Hand a message to the thread; nothing is taken behind :class:`Close`."""
        with self._closing_lock:
            if self._closing:
                raise EngineClosed("the engine is closed")
            self._closing = isinstance(message, Close)
            self._inbox.put(message)

    def run(self) -> None:
        try:
            while self._open:
                self._drain()
                if self._open:
                    self._work()
                self._publish()
        finally:
            self._end()

    def _drain(self) -> None:
        """Take in all messages; sleep until there is one if there is nothing to do."""
        idle = not self._generator.busy and not self._embedder.busy
        while idle and self._inbox.empty() and self._generator.tidy():
            pass
        if not idle and self._inbox.empty():
            return
        try:
            message = self._inbox.get(block=idle)
            while True:
                self._take_in(message)
                message = self._inbox.get_nowait()
        except Empty:
            return

    def _take_in(self, message: Message) -> None:
        match message:
            case Generate(request, submitted, reply):
                if reply is None or reply.set_running_or_notify_cancel():
                    self._add(request, submitted, reply)
            case Opened(request_id, guide):
                self._opened(request_id, guide)
            case Embed(request, submitted):
                self._embedder.add(request, submitted)
            case Abort(request_id):
                if request_id in self._opening:
                    self._generator.add(self._opening.pop(request_id))
                self._generator.abort(request_id)
                self._embedder.abort(request_id)
            case Restore() if message.reply.set_running_or_notify_cancel():
                self._restore(message)
            case Close():
                self._open = False

    def _add(self, request: GenerateRequest, submitted: int, reply: Future[bytes] | None) -> None:
        """A request with a grammar waits for its guide before anything is computed for it."""
        grammar = request.sampling.grammar
        guided = grammar is not None and grammar.kind != "gbnf" and request.max_tokens != 0
        if guided:  # nothing is drafted for it: every token of a draft would need a mask
            request = msgspec.structs.replace(request, max_draft=0)
        job: Job[S] = Job(request, self._backend.info.n_ctx, submitted, reply)
        if grammar is None or not guided:
            self._generator.add(job)
            return
        self._opening[job.request.id] = job

        def tell(guide: Future[Guide]) -> None:
            with contextlib.suppress(EngineClosed):
                self.post(Opened(job.request.id, guide))

        self._backend.guidance.open(grammar).add_done_callback(tell)

    def _opened(self, request_id: str, guide: Future[Guide]) -> None:
        job = self._opening.pop(request_id, None)
        error = guide.exception()
        if job is None:
            if error is None:
                guide.result().close()
        elif error is None:
            job.guide = guide.result()
            self._generator.add(job)
        elif isinstance(error, PyollamaError):
            self._generator.add(job, error)
        else:
            self._generator.add(job, EngineError(f"the engine failed: {error!r}"))

    def _restore(self, message: Restore) -> None:
        try:
            self._generator.restore(message.tokens, message.state)
        except PyollamaError as error:
            message.reply.set_exception(error)
        else:
            message.reply.set_result(None)

    def _work(self) -> None:
        worker: Generator[S] | Embedder
        for worker in (self._generator, self._embedder):
            if not worker.busy:
                continue
            try:
                worker.step()
            except Exception as error:
                # Whatever it is, no request may be left hanging, and the next ones get a chance.
                log.exception("a step of the engine failed")
                worker.fail_all(EngineError(f"the engine failed: {error!r}"))
                worker.reset()
            self._steps += 1

    def _publish(self) -> None:
        if self._events:
            events = self._events.copy()
            self._events.clear()
            self._sink(events)

    def _end(self) -> None:
        with self._closing_lock:
            self._closing = True
        try:
            while not self._inbox.empty():
                self._take_in(self._inbox.get())
            closed = EngineClosed("the engine was closed")
            for job in self._opening.values():
                self._generator.add(job, closed)
            self._opening.clear()
            self._embedder.fail_all(closed)
            self._generator.fail_all(closed)
            self._publish()
            self._generator.close()
        finally:
            self._backend.close()
