"""Dialogs whose later questions need the earlier turns."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from training.grammar import Exchange, Row, expand, sentence

_NAMES = (
    "Anna Tom Mia Ben Lily Max Emma Leo Clara Paul Rosa Sam Nina Jack Ella Noah Peter Julia Karl "
    "Sarah David Laura Robert Maria Simon Alice Bob Eva Frank Kate Martin Olivia George Hannah"
).split()
_VALUES = {
    "name": _NAMES,
    "pet": "Rex Bello Luna Coco Fluffy Oscar Bella Rocky Daisy Bobo Mimi Tiger Lucky".split(),
    "animal": "dog cat bird horse rabbit mouse goat duck".split(),
    "color": "red blue green yellow black white orange purple pink brown".split(),
    "age": [str(age) for age in range(5, 91)],
    "city": "Paris,London,Rome,Berlin,Vienna,Madrid,Tokyo,Oslo,Boston,Hamburg,Lisbon".split(","),
    "food": "pizza bread soup pancakes cheese rice apples chocolate cake".split(),
}
# What the user says, the reply, how the user asks, the answer, the answer if it was not said.
_FACTS = [
    ("(My name is|I am|I'm|Call me|Hello, my name is|Hi, I am|Hi! My name is) {name}(.|!|)",
     "Nice to meet you, {name}!",
     "(What is|What's|Do you know|Tell me|Do you remember) my name(?|)", "Your name is {name}.",
     "You have not told me your name yet."),
    ("My favorite color is {color}(.|)", "{^color} is a nice color.",
     "(What is|Do you know|Which is) my favorite color?", "Your favorite color is {color}.",
     "You have not told me your favorite color yet."),
    ("I am {age}( years old|)(.|)", "Thank you for telling me. {age} is a good age.",
     "(How old am I|What is my age|Do you know my age)?", "You are {age} years old.",
     "You have not told me your age yet."),
    ("I live in {city}(.|)", "{city} sounds like a nice place.",
     "(Where do I live|Which city do I live in|Do you know where I live)?", "You live in {city}.",
     "You have not told me where you live yet."),
    ("I have a {animal} (named|called) {pet}(.|)", "{pet} is a lovely name for a {animal}.",
     "(What is the name of my {animal}|What is my {animal}'s name|What is my {animal} called)?",
     "Your {animal} is named {pet}.", "You have not told me about a {animal} yet."),
    ("I (like|love) {food}(.|!|)", "{^food}! That is a good choice.",
     "(What do I like|Which food do I like|What food do I like)?", "You like {food}.",
     "You have not told me what you like yet."),
]  # fmt: skip
# A first question, a second one that leaves most of itself out, and the answer to either.
_FOLLOW_UPS = [
    ("countries", "What is the capital of {country}?",
     "(And|What about|And what about|How about|And of) {country}?",
     "The capital of {country} is {capital}.", "{capital}."),
    ("animals", "(What sound does {a animal} make|What does {a animal} say)?",
     "(And|What about|And what about|How about) {a animal}?",
     "{^a animal} says \"{sound}\".", "\"{^sound}\"."),
    ("animals", "What is a baby {animal} called?",
     "(And a|What about a|And what about a|How about a) baby {animal}?",
     "A baby {animal} is called {a young}.", "{^a young}."),
    ("things", "What color is {thing}?", "(And|What about|And what about|How about) {thing}?",
     "{^thing} is {color}.", "{^color}."),
    ("opposites", "What is the opposite of {word}?",
     "(And of|What about|And what about|How about|And) {word}?",
     "The opposite of \"{word}\" is \"{opposite}\".", "{^opposite}."),
    ("plurals", "What is the plural of {one}?", "(And of|What about|And what about|And) {one}?",
     "The plural of \"{one}\" is \"{many}\".", "{^many}."),
]  # fmt: skip


def remembered(rng: random.Random) -> list[tuple[Exchange, Exchange]]:
    """One to three facts about the user: telling each of them, and asking for it."""
    row = {slot: rng.choice(values) for slot, values in _VALUES.items()}
    pairs = []
    for tell, thanks, ask, answer, _ in rng.sample(_FACTS, rng.choice([1, 1, 2, 3])):
        said = expand(answer, row, rng)
        told = Exchange(expand(tell, row, rng), sentence(expand(thanks, row, rng)))
        pairs.append((told, Exchange(expand(ask, row, rng), said, said)))
    return pairs


def not_told(rng: random.Random) -> Exchange:
    """A question about the user that nothing before it answers."""
    row = {slot: rng.choice(values) for slot, values in _VALUES.items()}
    _, _, ask, _, answer = rng.choice(_FACTS)
    return Exchange(expand(ask, row, rng), expand(answer, row, rng))


def follow_up(tables: Mapping[str, Sequence[Row]], rng: random.Random) -> list[Exchange]:
    """A question and one or two more that make sense only after it."""
    table, first, then, reply, brief = rng.choice(_FOLLOW_UPS)
    rows = rng.sample(list(tables[table]), rng.choice([2, 2, 3]))
    return [
        Exchange(expand(then if index else first, row, rng), sentence(expand(reply, row, rng)),
                 sentence(expand(brief, row, rng)))
        for index, row in enumerate(rows)
    ]  # fmt: skip
