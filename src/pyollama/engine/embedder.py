"""Texts to embed: packed into full batches across requests, answered in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from pyollama.engine.backend import Backend, Int32s, S
from pyollama.errors import (
    Aborted,
    ContextLengthExceeded,
    EngineError,
    InvalidRequest,
    PyollamaError,
    UnsupportedCapability,
)
from pyollama.types import Adapters, Embedded, EmbedRequest, EngineEvent, Failed, Usage

WINDOW = 256
"""How many waiting inputs of a request are looked at to fill one batch."""


class EmbedJob:
    """Collects the vectors of one request. Clock readings are nanoseconds."""

    def __init__(self, request: EmbedRequest, submitted: int) -> None:
        self.request = request
        self._submitted = submitted
        self._started = 0
        self._left = len(request.inputs)
        self._vectors = np.empty((0, 0), np.float32)

    def start(self, now: int) -> None:
        self._started = self._started or now

    def put(self, index: int, vector: NDArray[np.float32]) -> bool:
        """Take one result in; true when it was the last one."""
        if not self._vectors.size:
            self._vectors = np.empty((len(self.request.inputs), len(vector)), np.float32)
        self._vectors[index] = vector
        self._left -= 1
        return self._left == 0

    def result(self, now: int, n_embd: int) -> Embedded:
        """``n_embd`` stands in for the width where there is not one vector."""
        started = self._started or now
        usage = Usage(
            prompt_tokens=sum(map(len, self.request.inputs)),
            queue_duration=max(started - self._submitted, 0),
            prompt_duration=max(now - started, 1),
        )
        width = self._vectors.shape[1] or n_embd
        return Embedded(self.request.id, self._vectors.tobytes(), width, usage)


@dataclass(frozen=True, slots=True)
class EmbedItem:
    """One input that waits for its batch."""

    job: EmbedJob
    index: int
    tokens: Int32s

    @property
    def adapters(self) -> Adapters | None:
        return self.job.request.adapters


class EmbedQueue:
    """Inputs that wait: requests take turns, the inputs of one request go longest first."""

    def __init__(self) -> None:
        self._waiting: deque[list[EmbedItem]] = deque()  # one list for each request, never empty

    def __len__(self) -> int:
        return sum(map(len, self._waiting))

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, job: EmbedJob, tokens: Int32s) -> None:
        """``tokens`` are those of all inputs, one after the other."""
        ends = np.cumsum([len(each) for each in job.request.inputs])
        inputs = np.split(tokens, ends[:-1])
        items = [EmbedItem(job, index, each) for index, each in enumerate(inputs)]
        self._waiting.append(sorted(items, key=lambda item: -len(item.tokens)))

    def drop(self, job: EmbedJob) -> None:
        self._waiting = deque(items for items in self._waiting if items[0].job is not job)

    def take(self, rows: int, sequences: int) -> list[EmbedItem]:
        """The next batch: an input of the request whose turn it is, whatever its length, and what
        fits beside it, of this request and then of others with the same adapters.
        """
        pack: list[EmbedItem] = []
        for items in self._waiting:
            if pack and items[0].adapters != pack[0].adapters:
                continue
            rest = []
            for item in items[:WINDOW]:
                if not pack or (len(item.tokens) <= rows and len(pack) < sequences):
                    pack.append(item)
                    rows -= len(item.tokens)
                else:
                    rest.append(item)
            items[:WINDOW] = rest
            if rows <= 0 or len(pack) == sequences:
                break
        self._waiting.rotate(-1)
        self._waiting = deque(items for items in self._waiting if items)
        return pack


def _finite(vector: NDArray[np.float32]) -> bool:
    return bool(np.isfinite(vector).all())


class Embedder:
    """Runs all embedding requests of an engine, one batch a step. Belongs to the engine thread."""

    def __init__(self, backend: Backend[S], emit: Callable[[EngineEvent], None]) -> None:
        self._backend = backend
        self._emit = emit
        self._jobs: dict[str, EmbedJob] = {}
        self._queue = EmbedQueue()

    @property
    def busy(self) -> bool:
        return bool(self._queue)

    @property
    def running(self) -> int:
        return len(self._jobs)

    def add(self, request: EmbedRequest, submitted: int) -> None:
        job = EmbedJob(request, submitted)
        self._jobs[request.id] = job
        try:
            tokens = self._accepted(request)
        except PyollamaError as error:
            self._fail(job, error)
            return
        if request.inputs:
            self._queue.add(job, tokens)
        else:
            self._finish(job)

    def abort(self, request_id: str) -> None:
        job = self._jobs.get(request_id)
        if job is not None:
            self._fail(job, Aborted("the request was given up"))

    def step(self) -> None:
        limits = self._backend.limits
        pack = self._queue.take(limits.pack_rows, limits.pack_sequences)
        now = time.perf_counter_ns()
        for item in pack:
            item.job.start(now)
        try:
            self._backend.adapt(pack[0].adapters)
            vectors = self._embed([item.tokens for item in pack])
        except PyollamaError as error:
            for item in pack:
                self._fail(item.job, error)
            return
        for item, vector in zip(pack, vectors, strict=True):
            self._put(item, vector)

    def _embed(self, inputs: list[Int32s]) -> NDArray[np.float32]:
        """What is not a number spreads within a batch: such inputs are computed again, alone."""
        vectors = self._backend.embed(inputs)
        if len(inputs) > 1:
            for index, vector in enumerate(vectors):
                if not _finite(vector):
                    vectors[index] = self._backend.embed([inputs[index]])[0]
        return vectors

    def fail_all(self, error: PyollamaError) -> None:
        for job in list(self._jobs.values()):
            self._fail(job, error)

    def reset(self) -> None:
        """Nothing is kept between two steps."""

    def _accepted(self, request: EmbedRequest) -> Int32s:
        """The tokens of all inputs, one after the other; raises where they cannot be embedded."""
        info = self._backend.info
        if not info.embeddings:
            raise UnsupportedCapability("this model does not support embeddings")
        for index, tokens in enumerate(request.inputs):
            if not tokens:
                raise InvalidRequest(f"inputs: number {index} has no tokens", field="inputs")
            if len(tokens) > info.n_ctx:
                raise ContextLengthExceeded(
                    f"inputs: number {index} has {len(tokens)} tokens, the context {info.n_ctx}",
                    hint="shorten the input or load the model with a larger context",
                    prompt_tokens=len(tokens),
                    context_length=info.n_ctx,
                )
        self._backend.check_adapters(request.adapters)
        highest = max(map(max, request.inputs), default=0)
        lowest = min(map(min, request.inputs), default=0)
        if lowest < 0 or highest >= info.n_vocab:
            wrong = lowest if lowest < 0 else highest
            raise InvalidRequest(f"inputs: the model has no token {wrong}", field="inputs")
        return np.fromiter(chain.from_iterable(request.inputs), np.int32)

    def _put(self, item: EmbedItem, vector: NDArray[np.float32]) -> None:
        if item.job.request.id not in self._jobs:
            return  # failed by another input of this batch
        if not _finite(vector):
            self._fail(item.job, EngineError(f"the embedding of input {item.index} is not finite"))
        elif item.job.put(item.index, vector):
            self._finish(item.job)

    def _finish(self, job: EmbedJob) -> None:
        del self._jobs[job.request.id]
        self._emit(job.result(time.perf_counter_ns(), self._backend.info.n_embd))

    def _fail(self, job: EmbedJob, error: PyollamaError) -> None:
        if self._jobs.pop(job.request.id, None) is None:
            return
        self._queue.drop(job)
        self._emit(Failed(job.request.id, error.info()))
