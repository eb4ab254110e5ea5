"""What the engine needs from a model: the contract between the loop and llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyollama.engine.guidance.interface import Guidance, Masks
from pyollama.errors import PyollamaError
from pyollama.types import Adapters, EngineInfo, SamplingParams, TokenLogprob

Int32s = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Limits:
    """``rows`` is the largest batch of one step; it is larger than the number of slots.

    ``sequences`` are numbered from 0 and share ``cells``; what one copied costs no cells.
    ``can_trim``: the tail of a KV sequence can be dropped, and a part of one copied; ``can_undo``:
    at least what the last decode has added can be dropped.
    ``part``: how many positions of a sequence can be saved by themselves (0: only all of them).
    ``pack_rows`` and ``pack_sequences`` bound one batch of texts to embed; a single text may have
    up to ``info.n_ctx`` tokens nevertheless.
    """

    rows: int
    cells: int
    sequences: int
    can_trim: bool
    can_undo: bool
    part: int
    pack_rows: int
    pack_sequences: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one decode, as equally long arrays; ``outputs`` marks those whose logits are wanted.

    The arrays are only valid during the call.
    """

    tokens: Int32s
    positions: Int32s
    sequences: Int32s
    outputs: NDArray[np.bool_]


class TokenSampler(Protocol):
    """Chooses the tokens of one request; it has seen the prompt."""

    def close(self) -> None: ...


S = TypeVar("S", bound=TokenSampler)


class Backend(Protocol[S]):
    """One loaded model. All but :meth:`abort` belong to the engine thread."""

    @property
    def info(self) -> EngineInfo: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def guidance(self) -> Guidance: ...

    @property
    def layout(self) -> dict[str, str | int | bool]:
        """What a saved state depends on besides the files of model and adapters."""
        ...

    def check_adapters(self, adapters: Adapters | None) -> None:
        """Raise ``InvalidRequest`` or ``ModelLoadError`` where they cannot be used."""
        ...

    def adapt(self, adapters: Adapters | None) -> None:
        """Compute with these from now on; ``None`` stands for those of the load."""
        ...

    def decode(self, batch: Batch) -> None:
        """Compute the batch and keep its logits until the next call.

        Raises ``OutOfCells`` (nothing happened), ``Aborted`` or ``NativeError`` (some of the rows
        may be in the cache).
        """
        ...

    def sampler(self, params: SamplingParams, *, prompt: Int32s, n_ctx: int, ignore_eos: bool) -> S:
        """May raise ``InvalidRequest`` or ``InvalidGrammar``."""
        ...

    def sample(
        self, rows: Sequence[int], samplers: Sequence[S], masks: Masks | None = None
    ) -> list[int | PyollamaError]:
        """One token for each output row of the last decode, counted in batch order.

        Or why there is none: a row that fails does not touch the others.
        """
        ...

    def verify(self, rows: Sequence[int], drafts: Sequence[int], sampler: S) -> list[int]:
        """Sample one row after the other as long as what comes out is what was drafted.

        ``rows[0]`` belongs to the token before the drafts, ``rows[i + 1]`` to ``drafts[i]``. All
        that was sampled: 1 to ``len(rows)`` tokens, the last of which may not have been drafted.
        Raises what keeps a row from being sampled.
        """
        ...

    def logprobs(self, row: int, token: int, n_top: int) -> tuple[float, tuple[TokenLogprob, ...]]:
        """Log-probability of ``token`` before any sampling step, and the likeliest ones."""
        ...

    def token_logprobs(self, rows: Sequence[int], tokens: Sequence[int]) -> NDArray[np.float32]:
        """For each output row of the last decode the log-probability of the token beside it."""
        ...

    def is_eog(self, token: int) -> bool: ...
    def piece(self, token: int, *, special: bool) -> bytes: ...

    def trim(self, sequence: int, length: int) -> None:
        """Keep only the first ``length`` positions of a KV sequence."""
        ...

    def copy(self, source: int, target: int, length: int) -> None:
        """Make the empty ``target`` share the first ``length`` positions of ``source``."""
        ...

    def shift(self, sequence: int, keep: int, discard: int, length: int) -> None:
        """Drop ``discard`` of ``length`` positions behind the first ``keep``, move the rest up."""
        ...

    def save(self, sequence: int) -> bytes: ...
    def restore(self, sequence: int, state: bytes | memoryview) -> None:
        """Replace the whole sequence; on failure it is left empty."""
        ...

    def save_part(self, sequence: int, start: int, stop: int) -> bytes:
        """The positions from ``start`` up to ``stop``, at most ``limits.part`` of them."""
        ...

    def restore_part(self, sequence: int, state: bytes | memoryview, start: int, stop: int) -> None:
        """Append the positions from ``start`` up to ``stop`` out of a saved part.

        For a moment there has to be room for all of the part. On failure nothing is changed.
        """
        ...

    def embed(self, inputs: Sequence[Int32s]) -> NDArray[np.float32]:
        """One row per input, as pooled by the model; all of them in one batch, or one by itself."""
        ...

    def abort(self) -> None:
        """From any thread: end the decode that is running, or the next one, with ``Aborted``."""
        ...

    def close(self) -> None: ...
