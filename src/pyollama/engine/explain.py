"""Why a prompt was computed although something like it is in the cache, on one line.

Of the prompt itself nothing is shown but the one token where it leaves what is held.
"""

from __future__ import annotations

from collections.abc import Callable

from pyollama.engine.sequence import Sequence
from pyollama.engine.slots import Slots


def explain(sequence: Sequence, slots: Slots, piece: Callable[[int], bytes]) -> str:
    """For a request that has just been admitted; ``piece`` gives the bytes of a token."""
    prompt = sequence.tokens
    line = f"request {sequence.id}: {sequence.computed} of {len(prompt)} tokens cached"
    if sequence.computed:
        line += f", from {sequence.origin}"
    if sequence.leader is not None:
        line += f"; waits for {sequence.leader.id} to compute the first {sequence.awaits}"
    held, instead = slots.divergence(prompt, sequence.adapters)
    if held > sequence.computed and not slots.can_trim:
        line += f"; {held} are held, but this memory cannot go back to there"
    if held < len(prompt) and instead is not None:
        line += (
            f"; the best candidate differs at position {held}: token {prompt[held]} "
            f"{piece(prompt[held])!r} here, token {instead} there"
        )
    return line
