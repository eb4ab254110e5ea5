"""Short stories from plots, and poems by topic."""

from __future__ import annotations

import random
import re

from training.grammar import Exchange, Row, capital, expand, with_article

GIRLS = "Anna Mia Lily Emma Clara Rosa Nina Ella Sophie Lucy Maya Ida".split()
BOYS = "Tom Ben Max Leo Paul Oscar Sam Felix Hugo Jack Noah Tim".split()
_PEOPLE = {
    "she": ["girl", "old woman", "baker", "young painter", "queen", "farmer"],
    "he": ["boy", "old man", "sailor", "young farmer", "king", "gardener"],
}
_ANIMALS = (
    "fox rabbit mouse bear hedgehog squirrel cat dog duck frog owl turtle elephant goat donkey lion"
).split()
_TRAITS = "little small young kind clever curious shy cheerful quiet brave lonely friendly".split()
_OPENINGS = [
    "Once upon a time, there was {a who} named {name}.",
    "There once was {a who} named {name} who lived {home}.",
    "Once upon a time, {a who} named {name} lived {home}.",
    "{name} was {a who} who lived {home}.",
]
_HOMES = [
    "in a small village", "near a deep forest", "in a little house by the sea", "on a green hill",
    "at the edge of a big city", "next to an old mill", "on a quiet farm", "by a clear river",
]  # fmt: skip
_TO = [
    "to the lake", "to the old tower", "to the forest", "to the top of the hill", "to the sea",
    "to the big meadow", "to the river", "to the old castle",
]  # fmt: skip
_IN = [
    "in the forest", "by the lake", "on the hill", "in the meadow", "near the old tower",
    "in the garden", "on the beach", "by the river",
]  # fmt: skip
_THINGS = "kite ball hat book lamp bell drum boat doll flute key coat".split()
_COLORS = "red blue green yellow golden silver old".split()
_SLOTS = {
    "weather": "sunny cold windy warm foggy bright stormy".split(),
    "food": "bread,cake,apples,nuts,berries,soup,pancakes,cookies".split(","),
    "warm": ["hat", "scarf"],
    "small": "mouse bird beetle bee butterfly frog".split(),
}
_PRONOUNS = {
    "she": {"he": "she", "him": "her", "his": "her"},
    "he": {"he": "he", "him": "him", "his": "his"},
}
_ASK_PLAIN = [
    "(Tell|Please tell|Can you tell|Could you tell) me a (short |little |nice |)story(|.)",
    "(Write|Please write|Make up|Invent) a (short |little |nice |)story(|.)",
    "(I want to hear|I would like|Give me) a story(|.)",
    "(Another story|One more story|A story)(|, please)(|.)",
    "Tell me (a bedtime story|a fairy tale|something nice)(|.)",
    "Once upon a time",
]
_ASK_ABOUT = [
    "(Tell|Please tell|Can you tell) me a (short |little |)story about {topic}(|.)",
    "(Write|Please write|Make up) a (short |)story about {topic}(|.)",
    "(I want|Give me|I would like) a story about {topic}(|.)",
    "(A story|Story) about {topic}(|, please)(|.)",
]
_ASK_POEM = [
    "(Write|Please write|Tell me|Can you write|Give me) a (short |little |)poem about {topic}(|.)",
    "(Make|Write) a rhyme about {topic}(|.)",
    "(A poem|Poem) about {topic}(|, please)(|.)",
]
_ASK_ANY_POEM = [
    "(Write|Please write|Tell me|Can you write|Give me|Recite) a (short |little |)poem(|.)",
    "(I would like|Do you know) a poem(|.)",
]


def _sections(source: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in source.splitlines():
        if line.startswith("== "):
            lines = sections.setdefault(line[3:].strip(), [])
        elif line.strip() and not line.startswith("# "):
            lines.append(line)
    return sections


class Stories:
    """Draws stories from the plots of ``stories.txt``."""

    def __init__(self, source: str) -> None:
        self._plots = list(_sections(source).values())

    def draw(self, rng: random.Random) -> Exchange:
        """A request for a story and one that fits it."""
        plot = rng.choice(self._plots)
        row = self._cast(rng, robot="robot" in plot[0])
        story = " ".join(_told(plot, row, rng))
        if rng.random() < 0.35:
            return Exchange(expand(rng.choice(_ASK_PLAIN), {}, rng), story, story)
        topics = [with_article(row["who"].split(" ", 1)[1]), row["name"]]
        topics.append(f"{with_article(row['who'])} named {row['name']}")
        if "{thing}" in " ".join(plot):
            topics += [with_article(row["thing"])] * 2
        if row["friend"] in story:
            topics.append(f"{row['name']} and {row['friend']}")
        topics += [topic for topic in ("a robot", "snow", "music", "a star") if topic[-4:] in story]
        about = {"topic": rng.choice(topics)}
        return Exchange(expand(rng.choice(_ASK_ABOUT), about, rng), story, story)

    def _cast(self, rng: random.Random, *, robot: bool) -> Row:
        hero, friend = (rng.choice(["she", "he"]) for _ in range(2))
        name = rng.choice(GIRLS if hero == "she" else BOYS)
        other = rng.choice([n for n in (GIRLS if friend == "she" else BOYS) if n != name])
        kind = rng.choice(_ANIMALS if rng.random() < 0.5 else _PEOPLE[hero])
        trait = rng.choice([trait for trait in _TRAITS if trait not in kind])
        row = {slot: rng.choice(values) for slot, values in _SLOTS.items()}
        row |= {
            "name": rng.choice(["Bolt", "Pip", "Rusty", "Tik", "Bobo"]) if robot else name,
            "who": "small robot" if robot else f"{trait} {kind}",
            "friend": other,
            "girl": rng.choice([girl for girl in GIRLS if girl != other]),
            "home": rng.choice(_HOMES),
            "to": rng.choice(_TO),
            "in": rng.choice(_IN),
            "thing": f"{rng.choice(_COLORS)} {rng.choice(_THINGS)}",
        }
        row |= _PRONOUNS[hero]
        row |= {capital(slot): capital(row[slot]) for slot in ("he", "his")}
        return row | {f"f{slot}": word for slot, word in _PRONOUNS[friend].items()}


def _told(plot: list[str], row: Row, rng: random.Random) -> list[str]:
    lines = [line.removeprefix("? ") for line in plot if line[0] != "?" or rng.random() < 0.5]
    opening = expand(rng.choice(_OPENINGS), row, rng)
    return [capital(expand(line, {**row, "opening": opening}, rng)) for line in lines]


class Poems:
    """Draws four-line poems from ``poems.txt``."""

    def __init__(self, source: str) -> None:
        self._poems = _sections(source)

    def draw(self, rng: random.Random) -> Exchange:
        """A request for a poem, mostly with a topic, and the poem."""
        topic, lines = rng.choice(list(self._poems.items()))
        poem = "\n".join(expand(line, {}, rng) for line in lines)
        if rng.random() < 0.2:
            return Exchange(expand(rng.choice(_ASK_ANY_POEM), {}, rng), poem, poem)
        if rng.random() < 0.2:
            topic = re.sub("^(a|the) ", "", topic)
        return Exchange(expand(rng.choice(_ASK_POEM), {"topic": topic}, rng), poem, poem)
