from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.engine.state import MAGIC, fingerprint, pack, unpack
from pyollama.errors import InvalidRequest

MODEL = fingerprint("model", {"a": "b"})
tokens = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20)


@given(tokens, st.binary())
def test_round_trip(ids: list[int], state: bytes) -> None:
    assert unpack(MODEL, pack(MODEL, ids, state)) == (ids, state)


@given(tokens, st.binary(), st.data())
def test_any_damage_is_found(ids: list[int], state: bytes, data: st.DataObject) -> None:
    packed = bytearray(pack(MODEL, ids, state))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidRequest):
        unpack(MODEL, bytes(packed))
    with pytest.raises(InvalidRequest):
        unpack(MODEL, pack(MODEL, ids, state)[:at])


@given(st.binary())
def test_anything_else_is_refused(data: bytes) -> None:
    for each in (data, MAGIC + data):
        with pytest.raises(InvalidRequest):
            unpack(MODEL, each)


def test_another_model_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="another model"):
        unpack(fingerprint("model", {"a": "c"}), pack(MODEL, [1], b"kv"))


def test_a_fingerprint_depends_on_where_texts_end_and_not_on_the_order_of_keys() -> None:
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
