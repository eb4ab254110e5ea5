"""What is asked of a server: the prompts of every workload, the same for all of them.

Lengths are in words, each of which is one token in the vocabularies that are used here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_TEXT = """
time year people way day man thing woman life child world school state family student group
country problem hand part place case week company system program question work government number
night point home water room mother area money story fact month lot right study book eye job word
business issue side kind head house service friend father power hour game line end member law
car city community name president team minute idea kid body information back parent face others
level office door health person art war history party result change morning reason research girl
guy moment air teacher force education
"""
_WORDS = _TEXT.split()


@dataclass(frozen=True, slots=True)
class Clients:
    """Shape of a workload: so many conversations that begin at the same moment.

    ``turns`` are the words that each turn adds, ``max_tokens`` the answer's length, ``shared`` the
    words of a system text that all conversations begin with.
    """

    n: int
    turns: tuple[int, ...]
    max_tokens: int
    shared: int = 0

    @property
    def tokens_each(self) -> int:
        """How long a conversation gets."""
        return self.shared + sum(self.turns) + len(self.turns) * self.max_tokens

    @property
    def text(self) -> str:
        clients = "1 client" if self.n == 1 else f"{self.n} clients at once"
        turns = "" if len(self.turns) == 1 else f"{len(self.turns)} turns, "
        shared = f"the same {self.shared} tokens and " if self.shared else ""
        own = " + ".join(map(str, self.turns))
        return f"{clients}, {turns}{shared}{own} own tokens in, {self.max_tokens} out"


@dataclass(frozen=True, slots=True)
class Texts:
    """Shape of a workload: one request with ``n`` texts of ``shortest`` to ``longest`` words."""

    n: int
    shortest: int
    longest: int

    @property
    def text(self) -> str:
        return f"{self.n} texts of {self.shortest} to {self.longest} words in one request"


Shape = Clients | Texts

SHAPES: dict[str, Shape] = {
    "single": Clients(1, (418,), 128),
    "unique8": Clients(8, (210,), 64),
    "shared8": Clients(8, (40,), 64, shared=1000),
    "turns4": Clients(4, (300, 40, 40), 32),
    "embed256": Texts(256, 10, 90),
    "streams64": Clients(64, (64,), 32),
}
DEFAULT = ("single", "unique8", "shared8", "turns4", "embed256")


@dataclass(frozen=True, slots=True)
class Conversation:
    """One client: each turn's own text is appended to all that was said before."""

    turns: tuple[str, ...]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Generation:
    """Conversations that begin at the same moment."""

    conversations: tuple[Conversation, ...]


@dataclass(frozen=True, slots=True)
class Embedding:
    texts: tuple[str, ...]


Workload = Generation | Embedding


def words(rng: random.Random, n: int) -> str:
    """``n`` words with a blank before each."""
    return "".join(f" {word}" for word in rng.choices(_WORDS, k=n))


def build(name: str, round_number: int) -> Workload:
    """The workload for one round. Every round has other words, so that no cache can help."""
    return of_shape(SHAPES[name], f"{name} {round_number}")


def of_shape(shape: Shape, seed: str) -> Workload:
    """The workload of that shape; the words depend on ``seed`` alone."""
    rng = random.Random(seed)
    if isinstance(shape, Texts):
        lengths = (rng.randint(shape.shortest, shape.longest) for _ in range(shape.n))
        return Embedding(tuple(words(rng, n) for n in lengths))
    shared = words(rng, shape.shared)
    return Generation(tuple(_conversation(rng, shape, shared) for _ in range(shape.n)))


def _conversation(rng: random.Random, shape: Clients, shared: str) -> Conversation:
    first, *others = (words(rng, n) for n in shape.turns)
    return Conversation((shared + first, *others), shape.max_tokens)


WARM_UP = {False: "single", True: "embed256"}
"""Whether the model embeds, to the workload that loads and warms it, unmeasured."""
