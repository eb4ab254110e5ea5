"""From a request to the tokens of its prompt, short enough for the context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pyollama.chat.interface import Prompt, Turn
from pyollama.chat.prompt import (
    FittedHistory,
    check_length,
    fit_history,
    fit_tokens,
    prompt_tokens,
)
from pyollama.service.texts import TextSide
from pyollama.types import Truncated


@dataclass(frozen=True, slots=True)
class FittedPrompt:
    """A prompt, its tokens, what was left of the turn it was made from, and what had to go."""

    prompt: Prompt
    tokens: list[int]
    turn: Turn
    truncated: Truncated | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """How much space a prompt has, and what may be done to make it fit.

    Renders and counts tokens, which takes a while: call it from a worker thread.
    """

    side: TextSide
    n_ctx: int
    num_keep: int
    shift: bool
    truncate: bool

    def chat(self, turn: Turn) -> FittedPrompt:
        """Without the oldest messages, if that helps."""
        chat_format = self.side.format
        fitted = self._history(chat_format.chat, turn)
        return self._fitted(fitted, fitted.prompt.text, may_cut=not chat_format.native)

    def completion(self, turn: Turn, before: str) -> FittedPrompt:
        """The same for a single prompt that goes on after the text ``before``."""
        fitted = self._history(self.side.format.complete, turn)
        return self._fitted(fitted, before + fitted.prompt.text, continued=bool(before))

    def prompt(self, turn: Turn, prompt: Prompt) -> FittedPrompt:
        """A prompt that is rendered already."""
        return self._fitted(FittedHistory(prompt, turn), prompt.text)

    def _history(self, render: Callable[[Turn], Prompt], turn: Turn) -> FittedHistory:
        if not self.truncate:
            return FittedHistory(render(turn), turn)
        vocabulary = self.side.vocabulary
        room = self.n_ctx - 1 - vocabulary.add_bos  # for the answer, and for what begins a text
        return fit_history(render, turn, vocabulary, room)

    def _fitted(
        self, fitted: FittedHistory, text: str, *, may_cut: bool = True, continued: bool = False
    ) -> FittedPrompt:
        prompt, turn = replace(fitted.prompt, text=text), fitted.turn
        tokens = prompt_tokens(text, self.side.vocabulary)
        dropped = fitted.truncated.dropped if fitted.truncated else 0
        if not (self.truncate and may_cut):
            check_length(tokens, self.n_ctx)
        elif len(tokens) >= self.n_ctx:
            several = len(turn.messages) > 1 and not continued
            last = turn.messages[-1].content.strip() if several else ""
            whole, tokens = len(tokens), self._cut(tokens, text, last)
            dropped += whole - len(tokens)
        truncated = Truncated(dropped, len(tokens)) if dropped else None
        return FittedPrompt(prompt, tokens, turn, truncated)

    def _cut(self, tokens: list[int], text: str, last: str) -> list[int]:
        """``tokens`` without a piece; what stands before the text ``last`` stays whole.

        Refused if that would leave nothing of ``last``.
        """
        vocabulary = self.side.vocabulary
        n_keep, start = self.num_keep, text.rfind(last) if last else 0
        if start > 0:
            before = len(prompt_tokens(text[:start], vocabulary))
            after = len(self.side.tokens(text[start + len(last) :]))
            if (self.n_ctx - before) // 2 <= after:
                check_length(tokens, self.n_ctx)
            n_keep = max(n_keep, before - vocabulary.add_bos) if n_keep >= 0 else n_keep
        kept, _ = fit_tokens(
            tokens, self.n_ctx, n_keep=n_keep, add_bos=vocabulary.add_bos, shift=self.shift
        )
        return kept
