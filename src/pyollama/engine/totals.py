"""What an engine has done since it was loaded."""

from __future__ import annotations

from dataclasses import dataclass

from pyollama.engine.sequence import Sequence


@dataclass(slots=True)
class Totals:
    """What has been done so far; see :class:`~pyollama.types.EngineStats`."""

    finished: int = 0
    hits: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    computed_tokens: int = 0
    sampled_tokens: int = 0

    def end(self, sequence: Sequence) -> None:
        """A request is over."""
        if sequence.started:
            self.finished += 1
            self.hits += sequence.cached > 0
            self.prompt_tokens += sequence.n_prompt
            self.cached_tokens += sequence.cached
