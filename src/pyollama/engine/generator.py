"""Generation: what the scheduler plans is run on the backend, and what comes out becomes events."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic

import numpy as np

from pyollama.engine.backend import Backend, S
from pyollama.engine.editor import Editor
from pyollama.engine.explain import explain
from pyollama.engine.guidance.interface import MaskRows
from pyollama.engine.job import Job
from pyollama.engine.pace import Pace
from pyollama.engine.prefix import token_array
from pyollama.engine.rows import RowBuffer
from pyollama.engine.scheduler import Chunk, Scheduler
from pyollama.engine.sequence import Sequence
from pyollama.engine.slots import RETAINED, Slots
from pyollama.engine.speculation.speculator import Drafts, Speculator
from pyollama.engine.tier import Tier
from pyollama.engine.totals import Totals
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
from pyollama.types import EngineEvent, Failed

log = logging.getLogger(__name__)


class Generator(Generic[S]):
    """Runs all generations of an engine, one batch a step. Belongs to the engine thread.

    Between two steps the slots say exactly what the KV cache holds.
    """

    def __init__(
        self,
        backend: Backend[S],
        emit: Callable[[EngineEvent], None],
        tier: Tier | None = None,
        speculator: Speculator | None = None,
    ) -> None:
        info, limits = backend.info, backend.limits
        self._backend = backend
        self._emit = emit
        self._tier = tier
        self._slots = Slots(
            limits.sequences,
            cells=limits.cells,
            running=info.n_slots,
            retained=None if tier is None else RETAINED,
            can_trim=limits.can_trim,
        )
        self._scheduler = Scheduler(self._slots, can_shift=info.can_shift, tier=tier)
        self._editor = Editor(backend, self._slots, emit, tier)
        self._pace = Pace()
        self._jobs: dict[str, Job[S]] = {}
        self._rows = RowBuffer(limits.rows)
        self._masks = MaskRows(info.n_vocab)
        self._speculator = (speculator or Speculator(info.n_ctx)) if limits.can_undo else None
        self._tidy = True
        self.totals = Totals()
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
        return self._slots.cells.used

    @property
    def preemptions(self) -> int:
        return self._scheduler.preemptions

    @property
    def evictions(self) -> int:
        return self._slots.evictions

    def add(self, job: Job[S], refusal: PyollamaError | None = None) -> None:
        """Take a request; with a ``refusal`` it ends at once."""
        self._jobs[job.request.id] = job
        self._scheduler.add(job.sequence)
        refusal = refusal or self._refusal(job.sequence)
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
        self._editor.run()
        if slot is None:
            raise Busy(
                f"there is no room for {len(tokens)} tokens beside what is running",
                hint="try again when a request has ended",
            )
        try:
            self._backend.restore(slot.index, state)
        except PyollamaError:
            self._slots.forget(slot)
            raise

    def fail_all(self, error: PyollamaError) -> None:
        for job in list(self._jobs.values()):
            self._fail(job, error)

    def reset(self) -> None:
        """After an unexpected failure: nothing in the KV cache is to be trusted any more."""
        self._slots.take_edits()
        for slot in self._slots:
            self._slots.forget(slot)
            self._backend.trim(slot.index, 0)

    def close(self) -> None:
        """Hand the retired prefixes over to the tier; nothing runs any more."""
        if self._speculator is not None:
            self._speculator.close()
        if self._tier is not None:
            self._tier.hurry()
            for slot in self._slots.retired:
                self._tier.keep(slot.index, slot.tokens, slot.adapters)
            self._tier.close()

    def tidy(self) -> bool:
        """While there is nothing to do, prepare for the end; false if that is done."""
        if self._tier is None or self._tidy:
            return False
        self._tidy = not any(
            self._tier.prepare(slot.index, slot.tokens, slot.adapters)
            for slot in self._slots.retired
        )
        return not self._tidy

    def step(self) -> None:
        self._tidy = False
        rows = self._backend.limits.rows
        share = self._pace.share(rows, self._scheduler.demand)
        plan = self._scheduler.plan(rows, share)
        done = self._editor.carry_out(plan.edits)
        self._start(plan.admitted)
        for sequence in plan.stuck:
            self._discard(sequence, self._too_large(sequence))
        chunks = [chunk for chunk in plan.chunks if chunk.sequence.slot is not None]
        if not chunks or not done:
            return  # what could not be restored is in the next plan
        chunks, drafts = self._with_drafts(chunks)
        started = time.perf_counter()
        if self._decode(chunks):
            sampled = self._sample(chunks)
            self._observe(chunks, drafts, sampled, time.perf_counter() - started)

    # --- the parts of a step ----------------------------------------------------------------------

    def _start(self, admitted: list[Sequence]) -> None:
        now = time.perf_counter_ns()
        for sequence in admitted:
            job = self._jobs[sequence.id]
            if log.isEnabledFor(logging.DEBUG):
                log.debug("%s", explain(sequence, self._slots, self._piece))
            if job.started:
                continue  # it had to give way for a while
            job.start(now)
            sequence.cached = min(sequence.cached, sequence.computed)
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
            else:
                if job.guide is not None:
                    job.guide.begin()
        self._backend.guidance.flush()

    def _decode(self, chunks: list[Chunk]) -> bool:
        """Run the batch; false if it came to nothing, and what follows from that is done."""
        running = self._scheduler.running
        self.sole = running[0].id if len(running) == 1 else None
        try:
            self._backend.adapt(chunks[0].sequence.adapters)
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
                self.totals.computed_tokens += chunk.rows
            return True
        finally:
            self.sole = None
        return False

    def _with_drafts(self, chunks: list[Chunk]) -> tuple[list[Chunk], Drafts | None]:
        """Let the streams of a step that has nothing else compute more than their last token."""
        streams = [chunk.sequence for chunk in chunks]
        if self._speculator is None or not all(sequence.decoding for sequence in streams):
            return chunks, None
        room = min(self._backend.limits.rows, self._slots.cells.free)
        drafts = self._speculator.draft(streams, room)
        if drafts is None:
            return chunks, None
        pairs = zip(chunks, drafts.each, strict=True)
        return [_drafted(chunk, draft.tokens) for chunk, draft in pairs], drafts

    def _sample(self, chunks: list[Chunk]) -> list[int]:
        """Returns how many tokens came out for each of the chunks that were to be sampled."""
        turns: list[_Turn[S]] = []
        end = 0  # of the output rows of the chunk
        for chunk in chunks:
            job = self._jobs[chunk.sequence.id]
            end += chunk.outputs
            self._score(job, chunk, end - chunk.outputs)
            if chunk.samples and job.sampler is not None:
                rows = range(end - 1 - len(chunk.drafts), end)
                turns.append(_Turn(job, job.sampler, chunk, rows))
            elif not chunk.sequence.samples and not chunk.sequence.pending:
                self._finish_prompt(job)
        self._choose(turns)
        now = time.perf_counter_ns()
        sampled = [self._take(turn, now) for turn in turns]
        self._backend.guidance.flush()
        return sampled

    def _choose(self, turns: list[_Turn[S]]) -> None:
        plain = [turn for turn in turns if not turn.chunk.drafts and self._goes_on(turn.job)]
        if plain:
            samplers = [turn.sampler for turn in plain]
            masks = self._masks.gather([turn.job.guide for turn in plain])
            tokens = self._backend.sample([turn.rows[0] for turn in plain], samplers, masks)
            for turn, token in zip(plain, tokens, strict=True):
                if isinstance(token, PyollamaError):
                    self._discard(turn.job.sequence, token)
                else:
                    turn.tokens = [token]
        for turn in turns:
            if turn.chunk.drafts:
                self._verify(turn)

    def _verify(self, turn: _Turn[S]) -> None:
        try:
            turn.tokens = self._backend.verify(turn.rows, turn.chunk.drafts, turn.sampler)
        except PyollamaError as error:
            self._discard(turn.job.sequence, error)

    def _goes_on(self, job: Job[S]) -> bool:
        """Whether there is anything to sample; waits for the mask of a grammar."""
        guide = job.guide
        if guide is None:
            return True
        guide.wait()
        if guide.error is not None:
            self._fail(job, guide.error)
            return False
        if guide.complete and job.request.ignore_eos:
            self._end(job)
            for event in job.finish("stop", time.perf_counter_ns()):
                self._emit(event)
            return False
        return True

    def _take(self, turn: _Turn[S], now: int) -> int:
        """Take in what was sampled up to the end of the answer; returns how many tokens that is."""
        job, drafts = turn.job, turn.chunk.drafts
        if not turn.tokens:
            return 0
        job.drafted += len(drafts)
        events: list[EngineEvent] = []
        for count, (row, token) in enumerate(zip(turn.rows, turn.tokens, strict=False), 1):
            job.accepted += count > 1
            events += job.take(self._backend, row, token, now)
            if not job.over:
                events += self._limits(job, now)
            if job.over or count == len(turn.tokens):
                break
        if drafts:
            self._keep_accepted(turn.chunk, count - 1)
        self.totals.sampled_tokens += count
        if job.over:
            self._end(job)
        elif job.guide is not None:
            job.guide.accept(turn.tokens[-1])
        for event in events:
            self._emit(event)
        return count

    def _keep_accepted(self, chunk: Chunk, count: int) -> None:
        """Cut from the cache what was drafted in vain."""
        slot = chunk.sequence.slot
        self._scheduler.accepted(chunk.sequence, count)
        if slot is not None and count < len(chunk.drafts):
            self._backend.trim(slot.index, len(slot.tokens))

    def _score(self, job: Job[S], chunk: Chunk, row: int) -> None:
        """Take down the log-probabilities of the prompt; ``row`` is the chunk's first output."""
        tokens = chunk.scored
        if tokens:
            rows = range(row, row + len(tokens))
            job.scored(chunk.start, self._backend.token_logprobs(rows, tokens))

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

    def _observe(
        self, chunks: list[Chunk], drafts: Drafts | None, sampled: list[int], seconds: float
    ) -> None:
        decode = sum(chunk.sequence.generated > 0 and chunk.count == 1 for chunk in chunks)
        total = sum(chunk.count for chunk in chunks)
        if drafts is None or drafts.rows == total:
            self._pace.observe(decode_rows=decode, prefill_rows=total - decode, seconds=seconds)
        if self._speculator is None:
            return
        if drafts is not None:
            self._speculator.observe(drafts, sampled, seconds)
        elif decode == total:
            self._speculator.observe_plain(total, seconds)
        elif not decode:
            self._speculator.observe_prompt(total, seconds)

    # --- when something goes wrong ----------------------------------------------------------------

    def _refusal(self, sequence: Sequence) -> PyollamaError | None:
        if self._backend.info.embeddings:
            return UnsupportedCapability("this model only makes embeddings, it cannot generate")
        if not sequence.tokens:
            return InvalidRequest("tokens: the prompt is empty", field="tokens")
        try:
            self._backend.check_adapters(sequence.adapters)
        except PyollamaError as error:
            return error
        if sequence.full:
            return ContextLengthExceeded(
                f"the prompt has {sequence.n_prompt} tokens, the context {sequence.n_ctx}",
                hint="shorten the prompt or load the model with a larger context",
                prompt_tokens=sequence.n_prompt,
                context_length=sequence.n_ctx,
            )
        if len(sequence.tokens) > self._slots.cells.capacity:
            return self._too_large(sequence)
        return None

    def _too_large(self, sequence: Sequence) -> OutOfCells:
        cells = self._slots.cells.capacity
        return OutOfCells(
            f"{len(sequence.tokens)} tokens need more than the {cells} cells of the KV cache",
            hint="shorten the prompt, ask for fewer tokens, or load the model with more cells",
        )

    def _make_room(self, error: OutOfCells) -> None:
        """The cache has fewer cells left than our books say."""
        if self._slots.evict() is not None or self._scheduler.preempt():
            self._editor.run()
        else:
            self._discard(self._scheduler.running[-1], error)

    def _rewind(self, sequence: Sequence) -> None:
        """Some rows of the last batch may be in the cache: back to what was there before."""
        slot = sequence.slot
        if slot is None:
            return
        if not self._backend.limits.can_undo:
            self._slots.forget(slot)
        self._backend.trim(slot.index, len(slot.tokens))
        if not slot.tokens:
            self._slots.share(slot, sequence.tokens, sequence.reusable)
            self._editor.run()

    def _discard(self, sequence: Sequence, error: PyollamaError) -> None:
        """Fail a running request whose KV cannot be trusted or has to go."""
        slot = sequence.slot
        if slot is not None:
            self._slots.forget(slot)
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
        self.totals.end(job.sequence)
        self._scheduler.finish(job.sequence)
        if self._speculator is not None:
            self._speculator.forget(job.sequence)
        self._editor.run()
        job.close()

    def _piece(self, token: int) -> bytes:
        return self._backend.piece(token, special=True)


@dataclass(slots=True)
class _Turn(Generic[S]):
    """What one request gets of a step: its output rows, and then the tokens sampled from them."""

    job: Job[S]
    sampler: S
    chunk: Chunk
    rows: range
    tokens: list[int] = field(default_factory=list)


def _drafted(chunk: Chunk, drafts: array[int]) -> Chunk:
    if not drafts:
        return chunk
    return replace(chunk, drafts=drafts, outputs=chunk.outputs + len(drafts))
