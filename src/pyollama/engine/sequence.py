"""One request on its way through the engine: its tokens, its limits and its counters."""

from __future__ import annotations

from array import array

from pyollama.engine.edits import Parked
from pyollama.engine.prefix import token_array
from pyollama.engine.slot import Slot
from pyollama.types import Adapters, GenerateRequest


class Sequence:
    """The token side of a request.

    ``tokens`` is prompt and answer by position, as the model is to see it; a context shift takes
    some out of the middle. What the slot does not hold of it is still to be computed, so a sequence
    that lost its KV only has to be computed again. ``n_ctx`` is the most tokens it may have,
    ``cached`` how much of the prompt was there when it began, and ``origin`` where. ``scored`` rows
    of the prompt have told the log-probability of the token behind them. ``marks`` are
    the lengths at which a checkpoint is to be made, ``parked`` is what was kept of it when it had
    to give way.
    """

    __slots__ = (
        "arrival",
        "awaits",
        "cached",
        "generated",
        "leader",
        "marks",
        "n_ctx",
        "n_prompt",
        "origin",
        "parked",
        "request",
        "scored",
        "slot",
        "started",
        "tokens",
        "yields",
    )

    def __init__(self, request: GenerateRequest, n_ctx: int) -> None:
        self.request = request
        self.tokens: array[int] = token_array(request.tokens)
        self.n_prompt = len(self.tokens)
        self.n_ctx = min(request.n_ctx or n_ctx, n_ctx)
        self.slot: Slot | None = None
        self.started = False
        self.arrival = 0
        self.cached = 0
        self.origin = "nowhere"
        self.generated = 0
        self.scored = 0
        self.leader: Sequence | None = None
        self.awaits = 0
        self.marks: set[int] = set()
        self.parked: Parked | None = None
        self.yields = 0

    @property
    def id(self) -> str:
        return self.request.id

    @property
    def adapters(self) -> Adapters | None:
        return self.request.adapters

    @property
    def computed(self) -> int:
        return 0 if self.slot is None else len(self.slot.tokens)

    @property
    def pending(self) -> int:
        """Tokens that are still to be computed."""
        slot = self.slot
        return len(self.tokens) - (0 if slot is None else len(slot.tokens))

    @property
    def reusable(self) -> int:
        """How many tokens may come from a cache: the logits of the last one are needed.

        For log-probabilities of the prompt those of all are, but only once.
        """
        known = len(self.tokens) - 1
        return min(known, self.scored) if self.request.prompt_logprobs else known

    @property
    def unscored(self) -> int:
        """Rows of the prompt that are still to be scored."""
        return self.n_prompt - 1 - self.scored if self.request.prompt_logprobs else 0

    @property
    def samples(self) -> bool:
        """Whether tokens are wanted at all; otherwise only the prompt is computed."""
        return self.request.max_tokens != 0

    @property
    def decoding(self) -> bool:
        return self.generated > 0 and self.pending == 1

    @property
    def full(self) -> bool:
        """Whether there is no room for the token behind the last one."""
        return len(self.tokens) >= self.n_ctx

    @property
    def exhausted(self) -> bool:
        """Whether all tokens that were asked for have been sampled."""
        return 0 <= self.request.max_tokens <= self.generated

    @property
    def wanted(self) -> int:
        """How many tokens may still be sampled."""
        left = self.n_ctx - len(self.tokens)
        if self.request.max_tokens < 0:
            return left
        return min(left, self.request.max_tokens - self.generated)

    def append(self, token: int) -> None:
        """Take a sampled token in."""
        self.tokens.append(token)
        self.generated += 1

    def shift_range(self) -> tuple[int, int]:
        """How many tokens to keep and then to discard when the context is full."""
        wanted = self.request.n_keep
        keep = min(self.n_prompt if wanted < 0 else wanted, max(self.n_ctx - 4, 0))
        return keep, max((self.computed - keep) // 2, 1)

    def shift(self, keep: int, discard: int) -> None:
        del self.tokens[keep : keep + discard]
