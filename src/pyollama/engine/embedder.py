"""Texts to embed: packed into full batches across requests, answered in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyollama.engine.backend import Backend, S
from pyollama.errors import (
    Aborted,
    ContextLengthExceeded,
    EngineError,
    InvalidRequest,
    PyollamaError,
    UnsupportedCapability,
)
from pyollama.types import Embedded, EmbedRequest, EngineEvent, Failed, Usage

WINDOW = 256
"""How many waiting inputs are looked at to fill one batch."""


class EmbedJob:
    """Collects the vectors of one request. Clock readings are nanoseconds."""

    def __init__(self, request: EmbedRequest, submitted: int) -> None:
        self.request = request
        self._submitted = submitted
        self._started = 0
        self._left = len(request.inputs)
        self._vectors: list[NDArray[np.float32] | None] = [None] * self._left

    def start(self, now: int) -> None:
        self._started = self._started or now

    def put(self, index: int, vector: NDArray[np.float32]) -> bool:
        """Take one result in; true when it was the last one."""
        self._vectors[index] = vector
        self._left -= 1
        return self._left == 0

    def result(self, now: int, n_embd: int) -> Embedded:
        """``n_embd`` stands in for the width where there is not one vector."""
        vectors = [vector for vector in self._vectors if vector is not None]
        width = len(vectors[0]) if vectors else n_embd
        started = self._started or now
        usage = Usage(
            prompt_tokens=sum(map(len, self.request.inputs)),
            queue_duration=max(started - self._submitted, 0),
            prompt_duration=max(now - started, 1),
        )
        data = b"".join(vector.tobytes() for vector in vectors)
        return Embedded(self.request.id, data, width, usage)


@dataclass(frozen=True, slots=True)
class EmbedItem:
    """One input that waits for its batch."""

    job: EmbedJob
    index: int
    tokens: list[int]


class EmbedQueue:
    """Inputs in the order of their requests; the inputs of one request longest first."""

    def __init__(self) -> None:
        self._items: list[EmbedItem] = []

    def __len__(self) -> int:
        return len(self._items)

    def add(self, job: EmbedJob) -> None:
        items = [EmbedItem(job, index, item) for index, item in enumerate(job.request.inputs)]
        self._items += sorted(items, key=lambda item: -len(item.tokens))

    def drop(self, job: EmbedJob) -> None:
        self._items = [item for item in self._items if item.job is not job]

    def take(self, rows: int, sequences: int) -> list[EmbedItem]:
        """The next batch: the first input, whatever its length, and what still fits beside it."""
        pack: list[EmbedItem] = []
        rest: list[EmbedItem] = []
        for item in self._items[:WINDOW]:
            if not pack or (len(item.tokens) <= rows and len(pack) < sequences):
                pack.append(item)
                rows -= len(item.tokens)
            else:
                rest.append(item)
        self._items[:WINDOW] = rest
        return pack


class Embedder:
    """Runs all embedding requests of an engine, one batch a step. Belongs to the engine thread."""

    def __init__(self, backend: Backend[S], emit: Callable[[EngineEvent], None]) -> None:
        self._backend = backend
        self._emit = emit
        self._jobs: dict[str, EmbedJob] = {}
        self._queue = EmbedQueue()

    @property
    def busy(self) -> bool:
        return len(self._queue) > 0

    @property
    def running(self) -> int:
        return len(self._jobs)

    def add(self, request: EmbedRequest, submitted: int) -> None:
        job = EmbedJob(request, submitted)
        self._jobs[request.id] = job
        refusal = self._refusal(request)
        if refusal is not None:
            self._fail(job, refusal)
        elif request.inputs:
            self._queue.add(job)
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
            vectors = self._backend.embed([item.tokens for item in pack])
        except PyollamaError as error:
            for item in pack:
                self._fail(item.job, error)
            return
        for item, vector in zip(pack, vectors, strict=True):
            self._put(item, vector)

    def fail_all(self, error: PyollamaError) -> None:
        for job in list(self._jobs.values()):
            self._fail(job, error)

    def reset(self) -> None:
        """Nothing is kept between two steps."""

    def _refusal(self, request: EmbedRequest) -> PyollamaError | None:
        info = self._backend.info
        if not info.embeddings:
            return UnsupportedCapability("this model does not support embeddings")
        for index, tokens in enumerate(request.inputs):
            if not tokens:
                return InvalidRequest(f"inputs: number {index} has no tokens", field="inputs")
            if len(tokens) > info.n_ctx:
                return ContextLengthExceeded(
                    f"inputs: number {index} has {len(tokens)} tokens, the context {info.n_ctx}",
                    hint="shorten the input or load the model with a larger context",
                    prompt_tokens=len(tokens),
                    context_length=info.n_ctx,
                )
        return None

    def _put(self, item: EmbedItem, vector: NDArray[np.float32]) -> None:
        if item.job.request.id not in self._jobs:
            return  # failed by another input of this batch
        if not np.isfinite(vector).all():
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
