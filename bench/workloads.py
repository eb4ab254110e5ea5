"""What is asked of a server: the prompts of every workload, the same for all of them.

* ``single``: one client, 418 prompt tokens, 128 out.
* ``unique8``: 8 clients at once, prompts of 210 tokens that share nothing, 64 out each.
* ``shared8``: 8 clients at once, the same 1,000-token system text and 40 own tokens, 64 out each.
* ``turns4``: 4 conversations at once, 3 turns each, the first of 300 tokens, 32 out a turn.
* ``embed256``: one request with 256 texts of 10 to 90 words.

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
NAMES = ("single", "unique8", "shared8", "turns4", "embed256")


def build(name: str, round_number: int) -> Workload:
    """The workload for one round. Every round has other words, so that no cache can help."""
    rng = random.Random(f"{name} {round_number}")

    def words(n: int) -> str:
        return "".join(f" {word}" for word in rng.choices(_WORDS, k=n))

    def clients(n: int, turns: list[int], max_tokens: int, shared: str = "") -> Generation:
        return Generation(
            tuple(
                Conversation(
                    tuple((shared if i == 0 else "") + words(n) for i, n in enumerate(turns)),
                    max_tokens,
                )
                for _ in range(n)
            )
        )

    match name:
        case "single":
            return clients(1, [418], 128)
        case "unique8":
            return clients(8, [210], 64)
        case "shared8":
            return clients(8, [40], 64, shared=words(1000))
        case "turns4":
            return clients(4, [300, 40, 40], 32)
        case "embed256":
            return Embedding(tuple(words(rng.randint(10, 90)) for _ in range(256)))
    raise ValueError(f"unknown workload {name!r}: choose from {', '.join(NAMES)}")
