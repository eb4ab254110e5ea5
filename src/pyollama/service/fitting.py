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
        return self._fitted(fitted, before + fitted.prompt.text)

    def prompt(self, turn: Turn, prompt: Prompt) -> FittedPrompt:
        """A prompt that is rendered already."""
        return self._fitted(FittedHistory(prompt, turn), prompt.text)

    def _history(self, render: Callable[[Turn], Prompt], turn: Turn) -> FittedHistory:
        if not self.truncate:
            return FittedHistory(render(turn), turn)
        return fit_history(render, turn, self.side.vocabulary, self.n_ctx)

    def _fitted(self, fitted: FittedHistory, text: str, *, may_cut: bool = True) -> FittedPrompt:
        vocabulary = self.side.vocabulary
        prompt, turn, truncated = replace(fitted.prompt, text=text), fitted.turn, fitted.truncated
        tokens = prompt_tokens(text, vocabulary)
        if not (self.truncate and may_cut):
            check_length(tokens, self.n_ctx)
            return FittedPrompt(prompt, tokens, turn, truncated)
        tokens, cut = fit_tokens(
            tokens,
            self.n_ctx,
            n_keep=self.num_keep,
            add_bos=vocabulary.add_bos,
            shift=self.shift,
        )
        return FittedPrompt(prompt, tokens, turn, truncated or cut)
