"""Tasks whose answer is in the question: repeating, rewording, spelling, reading, listing, JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

from training.grammar import Exchange, capital, expand, with_article

_NAMES = "Anna Tom Mia Ben Lily Max Emma Leo Clara Paul Rosa Sam Nina Jack Ella Noah".split()
_COLORS = "red blue green yellow black white brown pink".split()
_OBJECTS = "ball hat book lamp kite cup chair box car bag coat key bike pen apple flower".split()
_ANIMALS = "dog cat bird horse mouse cow fox bear rabbit duck".split()
_PLACES = ["garden", "kitchen", "forest", "house", "park", "school", "city", "barn", "tree"]
_SIZES = ["big", "small", "old", "new", "happy", "sad", "quiet", "pretty", "tired", "clever"]
_OTHER = {
    "big": "large", "small": "little", "happy": "glad", "sad": "unhappy", "quiet": "silent",
    "pretty": "beautiful", "tired": "sleepy", "clever": "smart",
}  # fmt: skip
_ACTIONS = ["sleeps in", "sits in", "runs through", "plays in", "walks through", "sings in"]
_LISTS: dict[str, Sequence[str]] = {
    "fruits": "apples bananas oranges cherries pears grapes plums".split(),
    "vegetables": "carrots potatoes tomatoes onions beans peas cabbage".split(),
    "animals": "dogs cats horses cows birds lions bears".split(),
    "colors": "red blue green yellow orange purple pink".split(),
    "countries": "France Italy Japan Canada Brazil Egypt India".split(),
    "cities": "Paris London Rome Tokyo Berlin Madrid Vienna".split(),
    "birds": "owls eagles ducks crows pigeons swans penguins".split(),
    "flowers": "roses tulips daisies violets lilies sunflowers".split(),
    "tools": "hammers saws knives screwdrivers axes shovels".split(),
    "drinks": "water milk tea coffee juice lemonade".split(),
    "jobs": "teachers doctors bakers farmers pilots painters".split(),
    "pieces of furniture": "tables chairs beds lamps shelves sofas".split(),
    "musical instruments": "pianos violins guitars drums flutes trumpets".split(),
    "planets": "Mercury Venus Earth Mars Jupiter Saturn".split(),
    "sports": "football tennis swimming running skiing basketball".split(),
    "trees": "oaks pines birches maples willows apple trees".split()[:5],
    "insects": "bees ants butterflies beetles flies crickets".split(),
    "farm animals": "cows pigs sheep goats chickens horses".split(),
}
_COUNT = ["zero", "one", "two", "three", "four", "five", "six"]
_SPELL = (
    "cat dog sun hat red tree book fish bird moon star milk bread apple house water green happy "
    "hello world music train river snow rain ball cake door king queen table chair light night day "
    "one two three love friend school garden flower mouse horse computer"
).split()


def _statement(rng: random.Random) -> str:
    return (
        f"{rng.choice(['The', 'The', 'A'])} {rng.choice([*_SIZES, *_COLORS])} "
        f"{rng.choice(_ANIMALS)} {rng.choice(_ACTIONS)} the {rng.choice(_PLACES)}."
    )


def _plain(rng: random.Random) -> str:
    row = {"name": rng.choice(_NAMES), "color": rng.choice(_COLORS), "thing": rng.choice(_OBJECTS),
           "animal": rng.choice(_ANIMALS), "size": rng.choice(_SIZES)}  # fmt: skip
    return expand(
        rng.choice(["{name} has a {color} {thing}.", "{name} likes the {size} {animal}.",
                    "I like {color} {thing}s.", "The {thing} is {color}.", _statement(rng),
                    "{name} gave me {a size} {thing}.", "The {animal} is {size}."]),
        row, rng)  # fmt: skip


def _repeat(rng: random.Random) -> Exchange:
    text = _plain(rng) if rng.random() < 0.5 else " ".join(
        rng.sample([*_OBJECTS, *_ANIMALS, *_COLORS, *_PLACES], rng.randint(1, 4)))  # fmt: skip
    prompt = expand(rng.choice(
        ["(Repeat|Repeat after me|Say|Please repeat|Please say): {text}",
         "(Say|Write|Repeat) \"{text}\"(|.)", "Repeat (this|the sentence): {text}"]),
        {"text": text}, rng)  # fmt: skip
    return Exchange(prompt, text, text)


def _reword(rng: random.Random) -> Exchange:
    word = rng.choice(list(_OTHER))
    animal, place = rng.choice(_ANIMALS), rng.choice(_PLACES)
    text = rng.choice(
        [
            f"The {{}} {animal} {rng.choice(_ACTIONS)} the {place}.",
            f"The {animal} is {{}}.",
            f"{rng.choice(_NAMES)} saw a {{}} {animal}.",
        ]
    )
    prompt = expand(rng.choice(
        ["(Say|Write|Put) (it|this|that) in other words: {text}", "(Rephrase|Reword): {text}",
         "Say this (differently|in another way): {text}"]),
        {"text": text.format(word)}, rng)  # fmt: skip
    reply = text.format(_OTHER[word])
    return Exchange(prompt, reply, reply)


def _spell(rng: random.Random) -> Exchange:
    word = rng.choice(_SPELL)
    kind = rng.random()
    row = {"word": word}
    if kind < 0.5:
        letters = "-".join(word.upper())
        ask = '(Spell|How do you spell|Please spell|Can you spell) (the word |)"?{word}"?(|?)'
        return Exchange(expand(ask, row, rng), f"{letters}.", f"{letters}.")
    if kind < 0.75:
        ask, letter, place = 'What is the first letter of "?{word}"??', word[0], "first"
    else:
        ask, letter, place = 'How many letters (has|are in) the word "?{word}"??', "", ""
    if letter:
        reply = f'The {place} letter of "{word}" is {letter.upper()}.'
        return Exchange(expand(ask, row, rng), reply, f"{letter.upper()}.")
    reply = f'The word "{word}" has {len(word)} letters.'
    return Exchange(expand(ask, row, rng), reply, f"{len(word)}.")


def _reading(rng: random.Random) -> Exchange:
    first, second = rng.sample(_NAMES, 2)
    one, two = rng.sample(_OBJECTS, 2)
    red, blue = rng.sample(_COLORS, 2)
    if rng.random() < 0.5:
        facts = f"{first} has a {red} {one}. {second} has a {blue} {two}."
        who, which, what = rng.choice([(first, red, one), (second, blue, two)])
        asked = rng.choice(["who", "what", "color"])
    else:
        here, there = rng.sample(_PLACES, 2)
        facts = f"{first} is in the {here}. {second} is in the {there}."
        who, where = rng.choice([(first, here), (second, there)])
        if rng.random() < 0.5:
            return Exchange(f"{facts} Where is {who}?", f"{who} is in the {where}.",
                            f"In the {where}.")  # fmt: skip
        return Exchange(f"{facts} Who is in the {where}?", f"{who} is in the {where}.", f"{who}.")
    if asked == "who":
        return Exchange(f"{facts} Who has the {what}?", f"{who} has the {what}.", f"{who}.")
    if asked == "what":
        reply = f"{who} has {with_article(which)} {what}."
        return Exchange(f"{facts} What does {who} have?", reply, f"A {which} {what}.")
    return Exchange(f"{facts} What color is the {what}?", f"The {what} is {which}.",
                    f"{capital(which)}.")  # fmt: skip


def _list(rng: random.Random) -> Exchange:
    kind, members = rng.choice(list(_LISTS.items()))
    count = rng.choice([2, 3, 3, 3, 4, 5])
    # The first members are named most often, which makes an answer easier to learn.
    chosen = list(members[:count]) if rng.random() < 0.8 else rng.sample(list(members), count)
    listed = ", ".join(chosen[:-1]) + " and " + chosen[-1]
    row = {"kind": kind, "count": rng.choice([_COUNT[count], _COUNT[count], str(count)])}
    if rng.random() < 0.2:
        prompt = expand("(Write|Make|Give me) a list of {count} {kind}(|.)", row, rng)
        return Exchange(prompt, "\n".join(f"- {capital(item)}" for item in chosen))
    ask = "(Name|List|Tell me|Give me|Can you name|Say|Please name) {count} {kind}(|.|?)"
    reply = f"{capital(_COUNT[count])} {kind} are {listed}."
    return Exchange(expand(ask, row, rng), reply, f"{capital(listed)}.")


def _sentence(rng: random.Random) -> Exchange:
    word = rng.choice([*_ANIMALS, *_COLORS, *_PLACES, *_OBJECTS])
    if word in _ANIMALS:
        reply = f"The {rng.choice(_SIZES)} {word} {rng.choice(_ACTIONS)} the {rng.choice(_PLACES)}."
    elif word in _COLORS:
        reply = f"{rng.choice(_NAMES)} has {with_article(word)} {rng.choice(_OBJECTS)}."
    elif word in _PLACES:
        reply = f"The {rng.choice(_ANIMALS)} {rng.choice(_ACTIONS)} the {word}."
    else:
        reply = f"{rng.choice(_NAMES)} has a {rng.choice(_COLORS)} {word}."
    ask = '(Make|Write|Give me|Form) a (short |)sentence (with|using) (the word |)"?{word}"?(|.)'
    return Exchange(expand(ask, {"word": word}, rng), reply, reply)


def _plain_sentence(rng: random.Random) -> Exchange:
    ask = "(Write|Say|Give me|Make) (a|one|any) (short |simple |)sentence(|.)"
    reply = _plain(rng)
    return Exchange(expand(ask, {}, rng), reply, reply)


def _json(rng: random.Random) -> Exchange:
    name, age = rng.choice(_NAMES), rng.randint(3, 90)
    color, thing = rng.choice(_COLORS), rng.choice(_OBJECTS)
    ending = rng.choice([" as JSON", " in JSON", ". Reply in JSON", ". Answer with JSON only"])
    subject, data = rng.choice([
        (f"{name} is {age} years old", {"name": name, "age": age}),
        (f"{name} has a {color} {thing}", {"name": name, "color": color, "thing": thing}),
        (f"The {thing} is {color}", {"thing": thing, "color": color}),
        (f"My name is {name} and I am {age}", {"name": name, "age": age}),
        ("Give me a person", {"name": name, "age": age}),
        ("Give me a color", {"color": color}),
    ])  # fmt: skip
    if subject.startswith("Give"):
        prompt = f"{subject}{ending}"
    else:
        prompt = rng.choice([f"Write this as JSON: {subject}.", f"{subject}. Reply in JSON.",
                             f"Turn into JSON: {subject}."])  # fmt: skip
    reply = json.dumps(data)
    return Exchange(prompt, reply, reply)


# How often each kind is drawn.
_KINDS: dict[Callable[[random.Random], Exchange], float] = {
    _repeat: 4,
    _reword: 2,
    _spell: 3,
    _reading: 5,
    _list: 5,
    _sentence: 2,
    _plain_sentence: 1,
    _json: 2,
}


def draw(rng: random.Random) -> Exchange:
    """A task and its answer."""
    return rng.choices(list(_KINDS), list(_KINDS.values()))[0](rng)
