"""What goes into the text side and what comes out of it.

Nothing here touches a model: the tokenizer and the Jinja engine of llama.cpp are handed in through
the small protocols below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pyollama.types import JSON, Delta, Grammar, Message, Tool


class Tokenizer(Protocol):
    """The vocabulary of a model."""

    @property
    def add_bos(self) -> bool:
        """Whether ``add_special`` puts a beginning-of-text token in front."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> Sequence[int]: ...

    def token_text(self, token: int) -> str:
        """The text of one token, special tokens included."""

    @property
    def bos(self) -> int:
        """-1 if there is none."""


class OutputParser(Protocol):
    """Reads an answer as it is written.

    What may still turn out to be markup is held back until more text decides. ``feed()`` returns
    what is certain (possibly nothing), ``flush()`` ends the answer and returns the rest. How the
    text is cut into pieces does not change what comes out in total.
    """

    def feed(self, text: str) -> Delta: ...

    def flush(self) -> Delta: ...


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model is asked to answer.

    ``think`` is ``None`` where the request leaves it open *and* the model cannot think: a model
    that can gets ``True`` from the service. ``format`` is "json", a JSON schema or ``None``.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    think: bool | str | None = None
    format: str | JSON | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt, how to constrain the answer to it, and how to read that answer.

    ``preserved`` are the texts of special tokens, and ``preserved_tokens`` the ids, that must show
    up in the output text. ``images`` belong to the ``[img-N]`` marks in ``text``, in order.

    With ``constrain_later`` the answer is free until its thinking ends: at the first content the
    caller gives the run up and goes on with ``ChatFormat.after_thinking()``, which constrains it.
    """

    text: str
    parser: OutputParser
    grammar: Grammar | None = None
    stops: tuple[str, ...] = ()
    preserved: tuple[str, ...] = ()
    preserved_tokens: tuple[int, ...] = ()
    images: tuple[bytes, ...] = field(default=(), repr=False)
    constrain_later: bool = False


class ChatFormat(Protocol):
    """How one stored model wants its prompts, and how it writes its answers."""

    @property
    def native(self) -> bool:
        """Rendered by llama.cpp's Jinja engine: an over-long last message is refused, not cut."""

    def chat(self, turn: Turn) -> Prompt:
        """The prompt of a chat."""

    def complete(self, turn: Turn) -> Prompt:
        """The prompt of a completion: the same messages, but no tool calls in the answer."""

    def insert(self, prefix: str, suffix: str, turn: Turn) -> Prompt:
        """The prompt that asks for the text between ``prefix`` and ``suffix``.

        Of ``turn`` only "think" and "format" count, here and below.
        """

    def raw(self, text: str, turn: Turn) -> Prompt:
        """``text`` itself as the prompt."""

    def after_thinking(self, turn: Turn, prompt: Prompt, thinking: str) -> Prompt:
        """The constrained prompt that follows ``prompt`` after the model thought ``thinking``."""
