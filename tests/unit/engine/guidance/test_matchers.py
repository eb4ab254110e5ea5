"""Answers by dice: whatever the masks let through has to be what the grammar asked for."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLTokenizer
from numpy.typing import NDArray

from pyollama.engine.guidance.matchers import MOST_COMPILED, Matchers
from pyollama.engine.guidance.wire import Step, row_words
from pyollama.types import Grammar

_TOKENIZER = LLTokenizer("byte")
_END = _TOKENIZER.eos_tokens[0]
_CLOSING = [*b'"]}', *b"0123456789:,", *b"aeltru"]


class _Table:
    """A guide's table, its rows of masks, and dice."""

    def __init__(self, rows: int = 4, seed: int = 0) -> None:
        self.matchers = Matchers(_TOKENIZER, threads=1)
        self.masks = np.zeros((rows, row_words(_TOKENIZER.vocab_size)), np.uint32)
        self.random = random.Random(seed)

    def step(self, **parts: Any) -> tuple[dict[int, str], list[int]]:
        done = self.matchers.step(Step(**parts), self.masks.ctypes.data, len(self.masks))
        return done.failed, done.complete

    def allowed(self, row: int) -> NDArray[np.intp]:
        bits = np.unpackbits(self.masks[row].view(np.uint8), bitorder="little")
        return np.flatnonzero(bits[: _TOKENIZER.vocab_size])

    def say(self, number: int, limit: int = 3000) -> str | None:
        """An answer; ``None`` if there was none within ``limit`` bytes."""
        said = bytearray()
        self.step(wanted=[(number, 0)])
        while len(said) < limit:
            allowed = self.allowed(0)
            token = int(self.random.choice(allowed))
            if len(said) > 60:  # time to come to an end
                token = next((t for t in (_END, *_CLOSING) if t in allowed), token)
            if token == _END:
                return said.decode()
            said.append(token)
            failed, _ = self.step(accepted=[(number, token)], wanted=[(number, 0)])
            assert not failed
        return None


def _scalars() -> st.SearchStrategy[dict[str, Any]]:
    bounded = st.builds(
        lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
        st.integers(-50, 50),
        st.integers(0, 200),
    )
    texts = st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more},
        st.integers(0, 4),
        st.integers(0, 4),
    )
    fixed = st.one_of(st.text(max_size=4), st.integers(-9, 9), st.booleans(), st.none())
    return st.one_of(
        st.sampled_from([{"type": kind} for kind in ("boolean", "null", "integer", "number")]),
        st.sampled_from([{"format": name, "type": "string"} for name in ("date", "ipv4", "uuid")]),
        bounded,
        texts,
        st.just({"type": "string", "pattern": "^[a-c]{1,3}(x|yz)?$"}),
        fixed.map(lambda value: {"const": value}),
        st.lists(fixed, min_size=1, max_size=4).map(lambda values: {"enum": values}),
    )


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(["a", "b", "name", 'with "quotes"', "größe"])
    properties = st.dictionaries(names, inner, max_size=3)

    def build(properties: dict[str, Any], keep: list[bool]) -> dict[str, Any]:
        required = [name for name, kept in zip(properties, keep, strict=False) if kept]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    return st.builds(build, properties, st.lists(st.booleans(), min_size=3, max_size=3))


def _arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda items, low, more: {
            "type": "array",
            "items": items,
            "minItems": low,
            "maxItems": low + more,
        },
        inner,
        st.integers(0, 2),
        st.integers(0, 2),
    )


SCHEMAS = st.recursive(
    _scalars(),
    lambda inner: st.one_of(
        _objects(inner),
        _arrays(inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
    ),
    max_leaves=6,
)


@given(SCHEMAS, st.integers(0, 1 << 30))
@settings(max_examples=40, deadline=None)
def test_whatever_is_said_fits_the_schema(schema: dict[str, Any], seed: int) -> None:
    table = _Table(seed=seed)
    assert table.matchers.open(1, Grammar(json.dumps(schema), "json_schema")) == ""
    said = table.say(1)
    assert said is not None
    jsonschema.validate(json.loads(said), schema)


_KEYWORDS = (
    "type properties required items enum const anyOf allOf oneOf not $ref $defs pattern format "
    "minLength maxLength minItems maxItems minimum maximum additionalProperties prefixItems if "
    "patternProperties minProperties uniqueItems x-guidance"
).split()
_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**6), 10**6),
        st.floats(allow_nan=False),
        st.sampled_from(
            ["string", "object", "array", "integer", "#", "#/$defs/a", "[a-z]*", "date"]
        ),
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*_KEYWORDS, "a"]), inner, max_size=4),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(_KEYWORDS), _VALUES, max_size=5), st.integers(0, 1 << 30))
@settings(max_examples=80, deadline=None)
def test_any_schema_works_or_is_refused(schema: dict[str, Any], seed: int) -> None:
    table = _Table(seed=seed)
    refusal = table.matchers.open(1, Grammar(json.dumps(schema), "json_schema"))
    if refusal:
        assert "JSON schema" in refusal
        return
    failed, _ = table.step(wanted=[(1, 0)])
    for _ in range(30):
        allowed = table.allowed(0)
        if failed or not len(allowed) or _END in allowed:
            break
        token = int(table.random.choice(allowed))
        failed, _ = table.step(accepted=[(1, token)], wanted=[(1, 0)])


def test_any_json_object() -> None:
    for seed in range(20):
        table = _Table(seed=seed)
        assert table.matchers.open(1, Grammar(kind="json")) == ""
        said = table.say(1)
        assert said is not None and isinstance(json.loads(said), dict)
        assert not re.search(r"\s{23}", said)


@pytest.mark.parametrize(
    ("grammar", "pattern"),
    [
        (Grammar("[a-f]{3}-[0-9]+", "regex"), "[a-f]{3}-[0-9]+"),
        (Grammar('start: "yes" | "no" NUMBER\nNUMBER: /[0-9]{1,3}/', "lark"), r"yes|no\d{1,3}"),
    ],
)
def test_other_languages(grammar: Grammar, pattern: str) -> None:
    for seed in range(10):
        table = _Table(seed=seed)
        assert table.matchers.open(1, grammar) == ""
        said = table.say(1)
        assert said is not None and re.fullmatch(pattern, said)


def test_properties_come_in_the_order_of_the_schema() -> None:
    names = ["zulu", "alpha", "mike"]
    schema = {"properties": {name: {"type": "null"} for name in names}, "required": names[::-1]}
    table = _Table()
    table.matchers.open(1, Grammar(json.dumps(schema | {"type": "object"}), "json_schema"))
    said = table.say(1)
    assert said is not None and list(json.loads(said)) == names


def test_guides_do_not_see_each_other() -> None:
    table = _Table()
    for number, text in ((1, "ab"), (2, "cd"), (3, "ab")):
        assert table.matchers.open(number, Grammar(text, "regex")) == ""
    table.step(wanted=[(1, 0), (2, 1), (3, 2)])
    assert [table.allowed(row).tolist() for row in range(3)] == [[ord("a")], [ord("c")], [ord("a")]]
    table.step(accepted=[(1, ord("a"))], wanted=[(1, 0)])
    failed, complete = table.step(accepted=[(2, ord("c"))], wanted=[(2, 1), (3, 2)])
    assert not failed and not complete
    assert [table.allowed(row).tolist() for row in range(3)] == [[ord("b")], [ord("d")], [ord("a")]]
    failed, complete = table.step(accepted=[(1, ord("b"))], wanted=[(1, 0)])
    assert complete == [1] and table.allowed(0).tolist() == [_END]
    table.step(closed=[1])
    failed, _ = table.step(accepted=[(3, ord("x"))], wanted=[(3, 2)])
    assert list(failed) == [3]


def test_few_grammars_are_kept_compiled() -> None:
    table = _Table()
    for number in range(MOST_COMPILED + 10):
        assert table.matchers.open(number, Grammar(f"a{number}", "regex")) == ""
    assert len(table.matchers._compiled) == MOST_COMPILED
    assert Grammar("a5", "regex") not in table.matchers._compiled
    assert table.matchers.open(1000, Grammar("a5", "regex")) == ""
