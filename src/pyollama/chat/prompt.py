"""Making a prompt fit into the context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pyollama.chat import deepseektags
from pyollama.chat.interface import Prompt, Tokenizer, Turn
from pyollama.errors import ContextLengthExceeded
from pyollama.types import Message, Truncated

IMAGE_TOKENS = 768
"""What an image is taken to cost while its real size is not known."""

_BEGINNINGS = ("<bos>", "<|begin_of_text|>", "<|startoftext|>", "〈|EOS|〉", deepseektags.BOS)
_TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the "
    "prompt, adjust the context length in settings, or use a model with a longer context length"
)


@dataclass(frozen=True, slots=True)
class FittedHistory:
    """``turn`` is what is left of the conversation, and ``truncated`` says how much had to go."""

    prompt: Prompt
    turn: Turn
    truncated: Truncated | None = None


def fit_history(
    render: Callable[[Turn], Prompt],
    turn: Turn,
    tokenizer: Tokenizer,
    n_ctx: int,
    *,
    image_tokens: int = IMAGE_TOKENS,
) -> FittedHistory:
    """The prompt of ``turn`` without its oldest messages, as many as must go.

    System messages stay, and so do the last one of the user and the last message of all, even if
    they are too long by themselves. Fewer messages are taken to make a shorter prompt, so a few
    renderings find the place to cut.
    """

    def cut(start: int) -> Turn:
        return replace(turn, messages=_without(turn.messages, start))

    def measure(start: int) -> tuple[Prompt, int]:
        prompt = render(cut(start))
        tokens = tokenizer.tokenize(prompt.text, add_special=False, parse_special=True)
        return prompt, len(tokens) + image_tokens * len(prompt.images)

    prompt, full = measure(0)
    if full <= n_ctx or len(turn.messages) < 2:
        return FittedHistory(prompt, turn)
    too_early, enough = 0, len(turn.messages) - 1
    prompt, size = measure(enough)
    while enough - too_early > 1:
        middle = (too_early + enough) // 2
        candidate, candidate_size = measure(middle)
        if candidate_size <= n_ctx:
            enough, prompt, size = middle, candidate, candidate_size
        else:
            too_early = middle
    return FittedHistory(prompt, cut(enough), Truncated(full - size, size))


def _without(messages: Sequence[Message], start: int) -> tuple[Message, ...]:
    """``messages`` from ``start`` on, the system messages before it, and the user's last one."""
    asked = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
    kept = (m for i, m in enumerate(messages[:start]) if m.role == "system" or i == asked)
    return (*kept, *messages[start:])


def prompt_tokens(text: str, tokenizer: Tokenizer) -> list[int]:
    """The tokens of a prompt, with one beginning-of-text token where the vocabulary wants one.

    It stands in place of the one that a template wrote, even if that is another family's.
    """
    if tokenizer.add_bos:
        bos = tokenizer.token_text(tokenizer.bos) if tokenizer.bos >= 0 else ""
        for mark in (bos, *_BEGINNINGS):
            if mark and text.startswith(mark):
                text = text.removeprefix(mark)
                break
    return list(tokenizer.tokenize(text, add_special=True, parse_special=True))


def fit_tokens(
    tokens: Sequence[int],
    n_ctx: int,
    *,
    n_keep: int,
    add_bos: bool,
    shift: bool,
) -> tuple[list[int], Truncated | None]:
    """``tokens`` with a piece cut out so that half of the context is free for the answer.

    The first ``n_keep`` tokens (all if negative) and the last ones stay. Without ``shift`` an
    over-long prompt is an error.
    """
    room = n_ctx - 1
    if len(tokens) <= room:
        return list(tokens), None
    if not shift:
        raise ContextLengthExceeded(
            f"{_TOO_LONG} (the prompt has {len(tokens)} tokens, the context {n_ctx})",
            prompt_tokens=len(tokens),
            context_length=n_ctx,
        )
    keep = min(len(tokens) if n_keep < 0 else n_keep + add_bos, room)
    limit = n_ctx - max((n_ctx - keep) // 2, 1)
    cut = [*tokens[:keep], *tokens[len(tokens) - (limit - keep) :]]
    return cut, Truncated(len(tokens) - len(cut), len(cut))


def check_length(tokens: Sequence[int], n_ctx: int) -> None:
    """Refuses a prompt that leaves no room for an answer."""
    if len(tokens) >= n_ctx:
        raise ContextLengthExceeded(
            f"request ({len(tokens)} tokens) exceeds the available context size ({n_ctx} tokens), "
            "try increasing it",
            prompt_tokens=len(tokens),
            context_length=n_ctx,
        )
