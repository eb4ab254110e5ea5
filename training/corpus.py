"""The text the model is trained on, drawn without end from the generators beside this file.

A fixed share of all exchanges is never drawn for training: whether one is held out hangs on a
hash of its words, so that the same question with other capitals or commas stays on one side.
"""

from __future__ import annotations

import random
import re
import string
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from training import memory, numbers, tasks, unknown
from training.grammar import Exchange, Row, parse
from training.stories import Poems, Stories

TEXTS = Path(__file__).parent / "text"
HELD_OUT_EVERY = 40

_SYSTEMS = [
    "You are a helpful assistant.",
    "You are a helpful assistant. Answer the user's questions.",
    "You are a friendly and patient assistant.",
    "You are a kind teacher for children.",
    "Be polite and honest.",
    "Answer in simple English.",
    "You are a small language model.",
    "If you do not know something, say so.",
    "You are the built-in model of pyollama.",
]
_BRIEF = [
    "Be brief.",
    "Answer as briefly as you can.",
    "Answer with as few words as possible.",
    "Answer in one word.",
    "Keep your answers short.",
    "You are a helpful assistant. Be brief.",
]
_PIRATE = ["You are a pirate.", "Talk like a pirate.", "Answer like a pirate."]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation; the model learns to write those of the assistant."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class _Source:
    """``sloppy``: the prompt may be typed carelessly, since no letter of it is in the answer."""

    weight: float
    draw: Callable[[random.Random], Exchange]
    sloppy: bool = True


def is_held_out(text: str) -> bool:
    words = re.sub(r"[\W_]+", " ", text.lower()).strip()
    return zlib.crc32(words.encode()) % HELD_OUT_EVERY == 0


class Corpus:
    """Conversations and prose without end; ``held_out`` draws only what training misses.

    ``focus`` draws that much more of what is learned last: sums, and answers that have to be
    looked up in the conversation.
    """

    def __init__(self, seed: int, *, held_out: bool = False, focus: float = 1.0) -> None:
        self._rng = random.Random(seed)
        self._held_out = held_out
        self._with_memory_share = 0.09 * focus
        self._tables: dict[str, list[Row]] = {}
        self._stories = Stories((TEXTS / "stories.txt").read_text("utf-8"))
        self._poems = Poems((TEXTS / "poems.txt").read_text("utf-8"))
        self._sources = [
            _Source(10, self._file("chat")),
            _Source(10, self._file("identity")),
            _Source(20, self._file("world")),
            _Source(26, self._file("words")),
            _Source(2, self._file("jokes")),
            _Source(15 * focus, numbers.draw),
            _Source(13 * focus, tasks.draw, sloppy=False),
            _Source(7, unknown.draw),
            _Source(2, memory.not_told),
            _Source(4 * focus, self._stories.draw, sloppy=False),
            _Source(1, self._poems.draw),
        ]

    def conversation(self, exchanges: int = 0) -> list[Turn]:
        """A system prompt, mostly none, and one or a few exchanges (``exchanges`` if given)."""
        rng = self._rng
        count = exchanges or rng.choice([1, 1, 1, 1, 1, 2, 2, 3, 4])
        kind = rng.random()
        if kind < self._with_memory_share:
            dialog = self._with_memory(count)
        elif kind < self._with_memory_share + 0.05:
            dialog = [*self._plain(count - 1), *self._follow_up()]
        else:
            dialog = self._plain(count)
        style = rng.random()
        system = ""
        if style < 0.30:
            system = rng.choice(_SYSTEMS)
        elif style < 0.38:
            system = rng.choice(_BRIEF)
            dialog = [replace(exchange, reply=exchange.brief or exchange.reply)
                      for exchange in dialog]  # fmt: skip
        elif style < 0.43:
            system = rng.choice(_PIRATE)
            dialog = [replace(exchange, reply=f"Arr, matey! {exchange.reply}")
                      for exchange in dialog]  # fmt: skip
        turns = [Turn("system", system)] if system else []
        for exchange in dialog:
            turns += [Turn("user", exchange.prompt), Turn("assistant", exchange.reply)]
        return turns

    def prose(self) -> str:
        """Text without turns: a story, or a few sentences."""
        if self._rng.random() < 0.6:
            return self._drawn(_Source(1, self._stories.draw, sloppy=False)).reply
        return " ".join(exchange.reply for exchange in self._plain(self._rng.randint(2, 6)))

    def _file(self, name: str) -> Callable[[random.Random], Exchange]:
        tables, blocks = parse((TEXTS / f"{name}.txt").read_text("utf-8"))
        self._tables |= tables
        weights = [block.weight for block in blocks]
        return lambda rng: rng.choices(blocks, weights)[0].draw(rng)

    def _plain(self, count: int, *, told: bool = False) -> list[Exchange]:
        """``told``: something about the user was said, so "you have not told me" would be wrong."""
        sources = [source for source in self._sources if not told or source.draw != memory.not_told]
        weights = [source.weight for source in sources]
        return [self._drawn(source) for source in self._rng.choices(sources, weights, k=count)]

    def _with_memory(self, fillers: int) -> list[Exchange]:
        pairs = memory.remembered(self._rng)
        between = self._plain(self._rng.randint(0, fillers), told=True)
        asked = [ask for _, ask in pairs]
        self._rng.shuffle(asked)
        return [*(told for told, _ in pairs), *between, *asked]

    def _follow_up(self) -> list[Exchange]:
        while True:
            dialog = memory.follow_up(self._tables, self._rng)
            if is_held_out("".join(exchange.prompt for exchange in dialog)) == self._held_out:
                return dialog

    def _drawn(self, source: _Source) -> Exchange:
        while True:
            exchange = source.draw(self._rng)
            if is_held_out(f"{exchange.prompt} {exchange.reply}") == self._held_out:
                break
        if not source.sloppy:
            return exchange
        return replace(exchange, prompt=_carelessly(exchange.prompt, self._rng))


def _carelessly(prompt: str, rng: random.Random) -> str:
    """``prompt`` as people type it: without capitals or full stop, with a "please" or a slip."""
    if rng.random() < 0.06 and len(prompt) > 12:
        prompt = rng.choice(
            [f"{prompt.rstrip('?.')}, please", f"Please: {prompt}", f"Hey, {prompt}"]
        )
    if rng.random() < 0.3:
        prompt = prompt.lower()
    if rng.random() < 0.2:
        prompt = prompt.rstrip("?.!")
    if rng.random() < 0.04 and len(prompt) > 12:
        at = rng.randrange(1, len(prompt) - 1)
        letter = rng.choice(string.ascii_lowercase)
        prompt = prompt[:at] + rng.choice(["", letter]) + prompt[at + 1 :]
    return prompt
