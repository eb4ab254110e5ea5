"""Generation: what the scheduler plans is run on the backend, and what comes out becomes events."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic

import numpy as np

from pyollama.engine.backend import Backend, Batch, S
from pyollama.engine.job import Job
from pyollama.engine.pace import Pace
from pyollama.engine.prefix import token_array
from pyollama.engine.scheduler import Chunk, Edit, Scheduler, Shift
from pyollama.engine.sequence import Sequence
from pyollama.engine.slots import Slots
from pyollama.errors import (
    Aborted,
    Busy,
    ContextLengthExceeded,
    InvalidRequest,
    NativeError,
    OutOfCells,
    PyollamaError,
    UnsupportedCapability,
)
from pyollama.types import ContextShifted, EngineEvent, Failed


class Generator(Generic[S]):
    """Runs all generations of an engine, one batch a step. Belongs to the engine thread.

    Between two steps the slots say exactly what the KV cache holds.
    """

    def __init__(self, backend: Backend[S], emit: Callable[[EngineEvent], None]) -> None:
        info, limits = backend.info, backend.limits
        self._backend = backend
        self._emit = emit
        self._slots = Slots(info.n_slots, can_trim=limits.can_trim)
        self._scheduler = Scheduler(self._slots, can_shift=info.can_shift, mix=limits.mix)
        self._pace = Pace()
        self._jobs: dict[str, Job[S]] = {}
        self._rows = RowBuffer(limits.rows)
        self.sole: str | None = None
        """The one request that is being computed right now, if there is just one."""

    @property
    def busy(self) -> bool:
        return not self._scheduler.idle

    @property
    def running(self) -> int:
        return len(self._scheduler.running)

    @property
    def waiting(self) -> int:
        return self._scheduler.waiting

    @property
    def cells_used(self) -> int:
        return self._slots.cells_used

    def add(self, job: Job[S]) -> None:
        self._jobs[job.request.id] = job
        self._scheduler.add(job.sequence)
        refusal = self._refusal(job.sequence)
        if refusal is not None:
            self._fail(job, refusal)

    def abort(self, request_id: str) -> None:
        job = self._jobs.get(request_id)
        if job is not None:
            self._end(job)
            for event in job.finish("aborted", time.perf_counter_ns()):
                self._emit(event)

    def restore(self, tokens: list[int], state: bytes) -> None:
        """Put a KV state back as a retired prefix."""
        slot = self._slots.adopt(token_array(tokens))
        if slot is None:
            raise Busy("all slots are busy", hint="try again when a request has ended")
        try:
            self._backend.restore(slot.index, state)
        except PyollamaError:
            self._slots.empty(slot)
            raise

    def fail_all(self, error: PyollamaError) -> None:
        for job in list(self._jobs.values()):
            self._fail(job, error)

    def reset(self) -> None:
        """After an unexpected failure: nothing in the KV cache is to be trusted any more."""
        for slot in self._slots:
            self._slots.empty(slot)
            self._backend.trim(slot.index, 0)

    def step(self) -> None:
        rows = self._backend.limits.rows
        share = self._pace.share(rows, self._scheduler.demand)
        plan = self._scheduler.plan(rows, share)
        self._edit(plan.edits)
        self._start(plan.admitted)
        chunks = [chunk for chunk in plan.chunks if chunk.sequence.slot is not None]
        if not chunks:
            return
        started = time.perf_counter()
        if self._decode(chunks):
            self._sample(chunks)
            self._observe(chunks, time.perf_counter() - started)

    # --- the parts of a step ----------------------------------------------------------------------

    def _edit(self, edits: list[Edit]) -> None:
        for edit in edits:
            index = edit.slot.index
            if isinstance(edit, Shift):
                self._backend.shift(index, edit.keep, edit.discard, edit.length)
                self._emit(ContextShifted(edit.sequence.id, edit.keep, edit.discard))
            elif edit.source is not None:
                self._backend.trim(index, 0)
                self._backend.copy(edit.source.index, index, edit.reused)
            elif edit.held > edit.reused:
                self._backend.trim(index, edit.reused)

    def _start(self, admitted: list[Sequence]) -> None:
        now = time.perf_counter_ns()
        for sequence in admitted:
            job = self._jobs[sequence.id]
            job.start(now)
            if not sequence.samples:
                continue
            try:
                job.sampler = self._backend.sampler(
                    sequence.request.sampling,
                    prompt=np.frombuffer(sequence.tokens, np.int32),
                    n_ctx=sequence.n_ctx,
                    ignore_eos=sequence.request.ignore_eos,
                )
            except PyollamaError as error:
                self._fail(job, error)

    def _decode(self, chunks: list[Chunk]) -> bool:
        """Run the batch; false if it came to nothing, and what follows from that is done."""
        running = self._scheduler.running
        self.sole = running[0].id if len(running) == 1 else None
        try:
            self._backend.decode(self._rows.fill(chunks))
        except OutOfCells as error:
            self._make_room(error)
        except Aborted:
            for chunk in chunks:
                self._rewind(chunk.sequence)
        except NativeError as error:
            for chunk in chunks:
                self._discard(chunk.sequence, error)
        else:
            for chunk in chunks:
                self._scheduler.computed(chunk)
            return True
        finally:
            self.sole = None
        return False

    def _sample(self, chunks: list[Chunk]) -> None:
        sampled: list[Job[S]] = []
        samplers: list[S] = []
        for chunk in chunks:
            job = self._jobs[chunk.sequence.id]
            if chunk.samples and job.sampler is not None:
                sampled.append(job)
                samplers.append(job.sampler)
            elif not chunk.sequence.samples and not chunk.sequence.pending:
                self._finish_prompt(job)
        if not sampled:
            return
        tokens = self._backend.sample(range(len(sampled)), samplers)
        now = time.perf_counter_ns()
        for row, (job, token) in enumerate(zip(sampled, tokens, strict=True)):
            events = job.take(self._backend, row, token, now)
            if not job.over:
                events += self._limits(job, now)
            if job.over:
                self._end(job)
            for event in events:
                self._emit(event)

    def _limits(self, job: Job[S], now: int) -> list[EngineEvent]:
        if job.sequence.exhausted:
            return job.finish("length", now, "max_tokens")
        if self._scheduler.at_limit(job.sequence):
            return job.finish("length", now, "context")
        return []

    def _finish_prompt(self, job: Job[S]) -> None:
        """The end of a request that only wanted its prompt computed."""
        slot = job.sequence.slot
        state = b""
        if job.reply is not None and slot is not None:
            try:
                state = self._backend.save(slot.index)
            except PyollamaError as error:
                self._fail(job, error)
                return
        self._end(job)
        if job.reply is not None:
            job.reply.set_result(state)
            return
        for event in job.finish("length", time.perf_counter_ns(), "max_tokens"):
            self._emit(event)

    def _observe(self, chunks: list[Chunk], seconds: float) -> None:
        decode = sum(chunk.sequence.generated > 0 and chunk.count == 1 for chunk in chunks)
        total = sum(chunk.count for chunk in chunks)
        self._pace.observe(decode_rows=decode, prefill_rows=total - decode, seconds=seconds)

    # --- when something goes wrong ----------------------------------------------------------------

    def _refusal(self, sequence: Sequence) -> PyollamaError | None:
        if self._backend.info.embeddings:
            return UnsupportedCapability("this model only makes embeddings, it cannot generate")
        if not sequence.tokens:
            return InvalidRequest("tokens: the prompt is empty", field="tokens")
        if sequence.full:
            return ContextLengthExceeded(
                f"the prompt has {sequence.n_prompt} tokens, the context {sequence.n_ctx}",
                hint="shorten the prompt or load the model with a larger context",
                prompt_tokens=sequence.n_prompt,
                context_length=sequence.n_ctx,
            )
        return None

    def _make_room(self, error: OutOfCells) -> None:
        """Give up the oldest retired prefix, or else the request that was admitted last."""
        slot = self._slots.evict()
        if slot is not None:
            self._backend.trim(slot.index, 0)
        else:
            self._discard(self._scheduler.running[-1], error)

    def _rewind(self, sequence: Sequence) -> None:
        """Some rows of the last batch may be in the cache: back to what was there before."""
        slot = sequence.slot
        if slot is None:
            return
        if not self._slots.can_trim:
            self._slots.empty(slot)
        self._backend.trim(slot.index, len(slot.tokens))

    def _discard(self, sequence: Sequence, error: PyollamaError) -> None:
        """Fail a running request whose KV cannot be trusted or has to go."""
        slot = sequence.slot
        if slot is not None:
            self._slots.empty(slot)
            self._backend.trim(slot.index, 0)
        self._fail(self._jobs[sequence.id], error)

    def _fail(self, job: Job[S], error: PyollamaError) -> None:
        self._end(job)
        if job.reply is not None:
            job.reply.set_exception(error)
        else:
            self._emit(Failed(job.request.id, error.info()))

    def _end(self, job: Job[S]) -> None:
        del self._jobs[job.request.id]
        self._scheduler.finish(job.sequence)
        job.close()


class RowBuffer:
    """The arrays of a batch, allocated once."""

    def __init__(self, rows: int) -> None:
        self._tokens = np.zeros(rows, np.int32)
        self._positions = np.zeros(rows, np.int32)
        self._sequences = np.zeros(rows, np.int32)
        self._outputs = np.zeros(rows, np.bool_)
        self._counting = np.arange(rows, dtype=np.int32)

    def fill(self, chunks: list[Chunk]) -> Batch:
        end = 0
        for chunk in chunks:
            slot = chunk.sequence.slot
            if slot is None:
                continue
            at, end = end, end + chunk.count
            stop = chunk.start + chunk.count
            self._tokens[at:end] = chunk.sequence.tokens[chunk.start : stop]
            self._positions[at:end] = self._counting[: chunk.count] + chunk.start
            self._sequences[at:end] = slot.index
            self._outputs[at:end] = False
            self._outputs[end - 1] = chunk.samples
        return Batch(
            self._tokens[:end], self._positions[:end], self._sequences[:end], self._outputs[:end]
        )
