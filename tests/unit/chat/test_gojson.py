from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.chat.gojson import encode
from pyollama.chat.gotemplate import FunctionError

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(_VALUES)
def test_it_is_json(value: object) -> None:
    text = encode(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text, parse_int=float) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": {"d": None, "c": True}}, '{"a":{"c":true,"d":null},"b":1}'),
        ("<a&b>\u2028\n\x01\u00e9\ud800", '"\\u003ca\\u0026b\\u003e\\u2028\\n\\u0001\u00e9\ufffd"'),
        ([3.0, 1e20, 1e21, 1e-6, 1e-7, -0.5], "[3,100000000000000000000,1e+21,0.000001,1e-7,-0.5]"),
        ([], "[]"),
    ],
)
def test_as_go_writes_it(value: object, text: str) -> None:
    assert encode(value) == text


def test_what_is_no_json() -> None:
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    for value in (math.nan, math.inf, object(), deep):
        with pytest.raises(FunctionError):
            encode(value)
