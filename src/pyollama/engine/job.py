"""A request as the engine thread runs it: its sequence, sampler, text and clock readings."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Generic, Literal

import numpy as np
from numpy.typing import NDArray

from pyollama.engine.backend import Backend, S
from pyollama.engine.guidance.interface import Guide
from pyollama.engine.output import AnswerText, Chunk, TokenOutput
from pyollama.engine.sequence import Sequence
from pyollama.types import EngineEvent, Finished, FinishReason, GenerateRequest, Tokens, Usage

Limit = Literal["", "max_tokens", "context"]


class Job(Generic[S]):
    """Clock readings are nanoseconds; 0 where it has not come to that.

    With a ``reply`` only the prompt is computed, and its KV state is the result; such a job has no
    events.
    """

    def __init__(
        self,
        request: GenerateRequest,
        n_ctx: int,
        submitted: int,
        reply: Future[bytes] | None = None,
    ) -> None:
        self.sequence = Sequence(request, n_ctx)
        self.reply = reply
        self.sampler: S | None = None
        self.guide: Guide | None = None
        self.over = False
        self.drafted = 0
        self.accepted = 0
        self._text = AnswerText(request.stop)
        self._preserved = frozenset(request.preserved_tokens)
        n_scored = len(request.tokens) - 1 if request.prompt_logprobs else 0
        self._prompt_logprobs = np.zeros(max(n_scored, 0), np.float32)
        self._submitted = submitted
        self._started = 0
        self._first_token = 0

    @property
    def request(self) -> GenerateRequest:
        return self.sequence.request

    @property
    def started(self) -> bool:
        return self._started > 0

    def start(self, now: int) -> None:
        self._started = now

    def take(self, backend: Backend[S], row: int, token: int, now: int) -> list[EngineEvent]:
        """Take in a sampled token; afterwards ``over`` says whether it ended the answer."""
        self._first_token = self._first_token or now
        self.sequence.append(token)
        if backend.is_eog(token) and not self.request.ignore_eos:
            return self.finish("stop", now)
        chunk = self._text.feed(self._output(backend, row, token))
        if self._text.stop is not None:
            return [*self._tokens(chunk), self._finished("stop", now, stop=self._text.stop)]
        return self._tokens(chunk)

    def scored(self, start: int, logprobs: NDArray[np.float32]) -> None:
        """Take in the log-probabilities of the tokens behind the rows from ``start`` on."""
        stop = start + len(logprobs)
        self._prompt_logprobs[start:stop] = logprobs
        self.sequence.scored = max(self.sequence.scored, stop)

    def finish(self, reason: FinishReason, now: int, limit: Limit = "") -> list[EngineEvent]:
        """The end of the answer, after what was still held back."""
        return [*self._tokens(self._text.flush()), self._finished(reason, now, limit=limit)]

    def close(self) -> None:
        if self.guide is not None:
            self.guide.close()
            self.guide = None
        if self.sampler is not None:
            self.sampler.close()
            self.sampler = None

    def _output(self, backend: Backend[S], row: int, token: int) -> TokenOutput:
        piece = backend.piece(token, special=token in self._preserved)
        if self.request.logprobs is None:
            return TokenOutput(token, piece)
        logprob, top = backend.logprobs(row, token, self.request.logprobs)
        return TokenOutput(token, piece, logprob, top)

    def _tokens(self, chunk: Chunk | None) -> list[EngineEvent]:
        if chunk is None:
            return []
        return [Tokens(self.request.id, chunk.text, chunk.tokens, chunk.logprobs)]

    def _finished(
        self, reason: FinishReason, now: int, *, stop: str = "", limit: Limit = ""
    ) -> Finished:
        self.over = True
        scores = self._prompt_logprobs[: self.sequence.scored].tobytes()
        return Finished(self.request.id, reason, self._usage(now), stop, limit, scores)

    def _usage(self, now: int) -> Usage:
        """What was run through takes at least a nanosecond, so 0 always means: not reached."""
        started = self._started or now
        first = self._first_token or now
        return Usage(
            prompt_tokens=self.sequence.n_prompt,
            cached_tokens=self.sequence.cached,
            completion_tokens=self.sequence.generated,
            queue_duration=max(started - self._submitted, 0),
            prompt_duration=max(first - started, 1) if self._started else 0,
            eval_duration=max(now - first, 1) if self._first_token else 0,
            draft_tokens=self.drafted,
            accepted_tokens=self.accepted,
        )
