"""Small sums, counting and comparing. The answers are computed."""

from __future__ import annotations

import random
from collections.abc import Callable

from training.grammar import Exchange, expand, sentence

_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
).split()
_ASK = ["What is {sum}?", "What's {sum}?", "{sum}(|?)", "{sum} =( ?|)", "(How much|What) is {sum}?",
        "(Calculate|Compute|Solve|Tell me) {sum}(|.)"]  # fmt: skip


def _sum(rng: random.Random) -> Exchange:
    sign, word, a, b, result = _operation(rng)
    said = rng.random() < 0.25 and max(a, b) <= 20
    left, right = (_WORDS[a], _WORDS[b]) if said else (str(a), str(b))
    middle = rng.choice([f" {sign} ", f" {sign} ", sign]) if not said else f" {word} "
    if not said and rng.random() < 0.35:
        middle = f" {word} "
    prompt = expand(rng.choice(_ASK), {"sum": left + middle + right}, rng)
    if sign == "+" and rng.random() < 0.1:
        prompt = expand("(Add|Please add|What do you get if you add) {a} and {b}(|?)",
                        {"a": left, "b": right}, rng)  # fmt: skip
    return Exchange(prompt, f"{a} {word} {b} is {result}.", f"{result}.")


def _operation(rng: random.Random) -> tuple[str, str, int, int, int]:
    kind = rng.random()
    if kind < 0.4:
        a, b = rng.randint(0, 20), rng.randint(0, 20)
        return "+", "plus", a, b, a + b
    if kind < 0.7:
        a, b = sorted((rng.randint(0, 20), rng.randint(0, 20)), reverse=True)
        return "-", "minus", a, b, a - b
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    return rng.choice("*x\u00d7"), "times", a, b, a * b


def _too_hard(rng: random.Random) -> Exchange:
    a, b = rng.randint(101, 99999), rng.randint(21, 9999)
    if rng.random() < 0.5:
        a, b = b, a
    sign = rng.choice(["+", "-", "*", "/", "times", "plus", "minus", "divided by"])
    prompt = expand(rng.choice(_ASK), {"sum": f"{a} {sign} {b}"}, rng)
    if rng.random() < 0.25:
        prompt = f"What is the square root of {a}?"
    reply = "That is too hard for me. I can only do sums with numbers up to twenty."
    return Exchange(prompt, reply, "That is too hard for me.")


def _count(rng: random.Random) -> Exchange:
    first = 1 if rng.random() < 0.6 else rng.randint(0, 12)
    last = first + rng.randint(2, 19 if first == 1 else 10)
    if rng.random() < 0.2:
        first, last = last, first
    step = 1 if last > first else -1
    row = {"first": str(first), "last": str(last)}
    ask = "(Count|Please count|Can you count|Count slowly) from {first} to {last}(|.|?)"
    if first == 1 and rng.random() < 0.4:
        ask = "(Count|Please count|Can you count) (up |)to {last}(|.|?)"
    if step < 0 and rng.random() < 0.5:
        ask = "Count (backwards|down|back) from {first} to {last}(|.)"
    numbers = ", ".join(str(number) for number in range(first, last + step, step)) + "."
    return Exchange(expand(ask, row, rng), numbers, numbers)


def _next(rng: random.Random) -> Exchange:
    number = rng.randint(1, 30)
    row = {"number": str(number), "after": str(number + 1), "before": str(number - 1)}
    if rng.random() < 0.5:
        prompt, word = "(What|Which) (number |)(comes|is) after {number}?", "after"
    else:
        prompt, word = "(What|Which) (number |)(comes|is) before {number}?", "before"
    reply = f"The number {word} {number} is {row[word]}."
    return Exchange(expand(prompt, row, rng), reply, f"{row[word]}.")


def _compare(rng: random.Random) -> Exchange:
    a, b = rng.sample(range(1, 31), 2)
    larger = rng.random() < 0.6
    word = rng.choice(["larger", "bigger", "greater"] if larger else ["smaller", "less"])
    winner, loser = (max(a, b), min(a, b)) if larger else (min(a, b), max(a, b))
    prompt = f"{rng.choice(['Which', 'What'])} is {word}, {a} or {b}?"
    if rng.random() < 0.25:
        prompt = f"Is {a} {word} than {b}?"
        yes = "Yes" if a == winner else "No"
        return Exchange(prompt, f"{yes}, {winner} is {word} than {loser}.", f"{yes}.")
    return Exchange(prompt, f"{winner} is {word} than {loser}.", f"{winner}.")


def _sequence(rng: random.Random) -> Exchange:
    step = rng.choice([1, 1, 2, 2, 5, 10])
    first = step * rng.randint(0, 6) or step
    shown = [first + step * index for index in range(rng.randint(3, 5))]
    listed, answer = ", ".join(map(str, shown)), shown[-1] + step
    prompt = rng.choice(
        [f"What comes next: {listed}?", f"Continue: {listed}", f"What is next? {listed}",
         f"{listed}, ...", f"Which number comes after {listed}?"])  # fmt: skip
    return Exchange(prompt, f"The next number is {answer}.", f"{answer}.")


def _word(rng: random.Random) -> Exchange:
    number = rng.randrange(len(_WORDS))
    if rng.random() < 0.5:
        prompt = rng.choice([f"Write {number} as a word.", f"How do you write {number} in words?",
                             f"Spell the number {number}"])  # fmt: skip
        reply = f'The number {number} is written "{_WORDS[number]}".'
        return Exchange(prompt, reply, sentence(_WORDS[number] + "."))
    word = _WORDS[number]
    prompt = rng.choice([f"Write {word} as a number.", f"Which number is {word}?"])
    return Exchange(prompt, f'"{sentence(word)}" is {number}.', f"{number}.")


def _parity(rng: random.Random) -> Exchange:
    number, asked = rng.randint(0, 60), rng.choice(["even", "odd"])
    truth = "odd" if number % 2 else "even"
    yes = "Yes" if truth == asked else "No"
    prompt = rng.choice([f"Is {number} {asked}?", f"Is {number} an {asked} number?"])
    return Exchange(prompt, f"{yes}, {number} is an {truth} number.", f"{yes}.")


# How often each kind is drawn.
_KINDS: dict[Callable[[random.Random], Exchange], float] = {
    _sum: 14,
    _too_hard: 1.5,
    _count: 3,
    _next: 2,
    _compare: 2,
    _sequence: 2,
    _word: 1.5,
    _parity: 1,
}


def draw(rng: random.Random) -> Exchange:
    """A question about numbers, and its answer."""
    return rng.choices(list(_KINDS), list(_KINDS.values()))[0](rng)
