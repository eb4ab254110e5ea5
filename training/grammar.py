"""A small grammar for varied text: ``(one|another)``, ``{slot}`` and tables of facts.

``(one|another|)`` is a choice, and choices nest. Parentheses without a bar stay as they are.
``{name}`` is filled from the row at hand, ``{^name}`` with a capital, ``{a name}`` with its
article. ``{name2}`` is the same column of another row, for wrong answers. ``"?`` around a slot
stands for quotes that may be there or not.

A file of blocks defines tables with ``== name: column, column`` and rows of ``a | b``, and
dialogs with ``-- [table] *weight`` and lines that start with ``>`` (a way to ask), ``<`` (a way to
answer) or ``!`` (the answer of someone who was told to be brief).
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Row = Mapping[str, str]

_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_SLOT = re.compile(r"\{(\^?)(a )?(\w+)\}")
# Said without "a": one cannot count them, or there is only one.
_UNCOUNTABLE = frozenset(
    "bread cheese rain snow wind thunder fire water ice air music hunger sleep love friendship "
    "money gold glass wood fruit chocolate larvae".split()
)
_UNIQUE = frozenset({"sun", "moon", "sky", "sea", "wind"})


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer; ``brief`` is the answer in as few words as possible."""

    prompt: str
    reply: str
    brief: str = ""


@dataclass(slots=True)
class Block:
    """Ways to ask and to answer the same thing, for every row of ``rows``."""

    rows: Sequence[Row]
    weight: float
    prompts: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    briefs: list[str] = field(default_factory=list)

    def draw(self, rng: random.Random) -> Exchange:
        row = another(self.rows, rng)
        return Exchange(
            expand(rng.choice(self.prompts), row, rng),
            sentence(expand(rng.choice(self.replies), row, rng)),
            sentence(expand(rng.choice(self.briefs), row, rng)) if self.briefs else "",
        )


def another(rows: Sequence[Row], rng: random.Random) -> Row:
    """A row, and beside its columns those of a second one that has other values, as ``name2``."""
    first = rng.choice(rows)
    if len(rows) == 1:
        return first
    last = list(first)[-1]
    others = [row for row in rows if row[last] != first[last]]
    second = rng.choice(others or rows)
    different = {
        f"{name}2": next(
            (row[name] for row in (second, *rng.sample(rows, len(rows))) if row[name] != value),
            value,
        )
        for name, value in first.items()
    }
    return {**different, **first}


def with_article(noun: str) -> str:
    """``a house``, ``an apple``, ``bread``, ``the sun``."""
    if noun in _UNIQUE:
        return f"the {noun}"
    if noun in _UNCOUNTABLE:
        return noun
    return f"an {noun}" if noun[:1].lower() in "aeiou" else f"a {noun}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """``text`` with one blank between words and a capital first."""
    return capital(re.sub(r" +", " ", text).strip())


def expand(template: str, row: Row, rng: random.Random) -> str:
    """One of the texts that ``template`` stands for."""
    quote = '"' if rng.random() < 0.5 else ""
    text = template.replace('"?', quote)
    while True:
        text, count = _CHOICE.subn(lambda match: rng.choice(match[1].split("|")), text)
        if not count:
            break

    def fill(match: re.Match[str]) -> str:
        value = row[match[3]]
        if match[2]:
            value = with_article(value)
        return capital(value) if match[1] else value

    return re.sub(r" +", " ", _SLOT.sub(fill, text)).strip()


def parse(source: str) -> tuple[dict[str, list[Row]], list[Block]]:
    """Tables and blocks of one file."""
    tables: dict[str, list[Row]] = {}
    blocks: list[Block] = []
    columns: list[str] = []
    rows: list[Row] | None = None
    for number, line in enumerate(source.splitlines(), 1):
        mark, rest = line[:2], line[2:].strip()
        if not line.strip() or line.startswith("# "):
            rows = None
        elif mark == "==":
            name, _, header = rest.partition(":")
            columns = [column.strip() for column in header.split(",")]
            rows = tables[name.strip()] = []
        elif mark == "--":
            table, _, weight = rest.partition("*")
            chosen = tables[table.strip()] if table.strip() else [{}]
            blocks.append(Block(chosen, float(weight or 1)))
        elif mark in {"> ", "< ", "! "}:
            block = blocks[-1]
            {">": block.prompts, "<": block.replies, "!": block.briefs}[line[0]].append(rest)
        elif rows is not None:
            values = [value.strip() for value in line.split("|")]
            if len(values) != len(columns):
                raise ValueError(f"line {number}: {len(values)} values for {len(columns)} columns")
            rows.append(dict(zip(columns, values, strict=True)))
        else:
            raise ValueError(f"line {number}: {line!r} belongs to no table and no block")
    return tables, blocks
