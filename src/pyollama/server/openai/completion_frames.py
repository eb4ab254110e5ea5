"""Answers of ``/v1/completions`` in OpenAI's words."""

from __future__ import annotations

from collections.abc import Sequence

from pyollama.server.openai.frames import FINGERPRINT, AnswerFrames
from pyollama.server.streaming import encode_json, sse
from pyollama.service.choices import best
from pyollama.types import JSON, AnswerEvent, Delta, Done, TokenLogprob

_NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


class CompletionFrames(AnswerFrames):
    """Of ``tried`` answers to each of ``prompts`` prompts, the ``n`` best are shown.

    ``echo`` are the texts that go in front of them, one for every prompt. Log-probabilities are
    only written with ``logprobs``. With ``include_usage`` every chunk has a usage, as in Ollama.
    """

    _prefix = "cmpl"

    def __init__(
        self,
        model: str,
        *,
        prompts: int = 1,
        n: int = 1,
        tried: int = 1,
        echo: Sequence[str] = (),
        logprobs: bool = False,
        include_usage: bool = False,
    ) -> None:
        super().__init__(model, prompts * tried, per_prompt=tried, include_usage=include_usage)
        self._n = n
        self._tried = tried
        self._echo = echo
        self._wants_logprobs = logprobs
        self._opened: set[int] = set()
        self._offsets: dict[int, int] = {}

    def _shown(self, answers: list[list[AnswerEvent]]) -> list[list[AnswerEvent]]:
        if self._tried == self._n:
            return answers
        groups = (answers[at : at + self._tried] for at in range(0, len(answers), self._tried))
        return [answer for group in groups for answer in best(group, self._n)]

    def _pieces(self, index: int, delta: Delta) -> bytes:
        choice: JSON = {"text": self._text(index, delta), "index": index, "finish_reason": None}
        return sse(self._chunk([choice | self._logprobs(index, delta)]))

    def _last_piece(self, index: int, tail: Delta) -> bytes:
        return self._pieces(index, tail) if tail.content or tail.logprobs else b""

    def _finish(self, index: int, end: Done) -> JSON:
        text = self._text(index, Delta())
        return {"text": text, "index": index, "finish_reason": end.reason}

    def _chunk(self, choices: list[JSON], usage: JSON | None = None) -> bytes:
        chunk = self._head() | {
            "choices": choices,
            "model": self._model,
            "system_fingerprint": FINGERPRINT,
        }
        if self._include_usage:
            chunk["usage"] = _NO_USAGE if usage is None else usage
        return encode_json(chunk)

    def _answer(self, index: int, output: Delta, end: AnswerEvent) -> JSON:
        reason = end.reason if isinstance(end, Done) else None
        choice = {"text": self._text(index, output), "index": index, "finish_reason": reason}
        return choice | self._logprobs(index, output)

    def _whole(self, answers: list[JSON], usage: JSON) -> JSON:
        return self._head() | {
            "model": self._model,
            "system_fingerprint": FINGERPRINT,
            "choices": answers,
            "usage": usage,
        }

    def _head(self) -> JSON:
        return {"id": self._id, "object": "text_completion", "created": self._created}

    def _text(self, index: int, delta: Delta) -> str:
        """The text of ``delta``, behind what is echoed if it is the first one."""
        if not self._echo or index in self._opened:
            return delta.content
        self._opened.add(index)
        return self._echo[index // self._n] + delta.content

    def _logprobs(self, index: int, delta: Delta) -> JSON:
        if not self._wants_logprobs or not delta.logprobs:
            return {}
        offsets = []
        for entry in delta.logprobs:
            offsets.append(self._offsets.get(index, 0))
            self._offsets[index] = offsets[-1] + len(entry.token)
        return {
            "logprobs": {
                "tokens": [entry.token for entry in delta.logprobs],
                "token_logprobs": [entry.logprob for entry in delta.logprobs],
                "top_logprobs": [_alternatives(entry) for entry in delta.logprobs],
                "text_offset": offsets,
            }
        }


def _alternatives(entry: TokenLogprob) -> dict[str, float]:
    return {other.token: other.logprob for other in entry.top}
