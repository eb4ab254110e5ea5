from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import InvalidRequest
from pyollama.server.body import MAX_DEPTH, _merged, decode_body, parse_json


class Inner(msgspec.Struct):
    name: str = ""


class Sample(msgspec.Struct):
    model: str = ""
    stream: bool = True
    options: dict[str, object] = {}
    inner: Inner | None = None
    items: list[Inner] = []
    debug: bool = msgspec.field(default=False, name="_debug_render_only")


def test_keys_match_in_any_case_and_at_any_depth() -> None:
    body = b'{"MODEL":"m","Inner":{"NAME":"x"},"ITEMS":[{"Name":"y"}],"_DEBUG_render_only":true}'
    assert decode_body(body, Sample) == Sample(
        model="m", inner=Inner("x"), items=[Inner("y")], debug=True
    )


def test_keys_inside_free_objects_stay_as_they_are() -> None:
    assert decode_body(b'{"options":{"Num_CTX":1,"x":null}}', Sample).options == {
        "Num_CTX": 1,
        "x": None,
    }


def test_null_is_absent() -> None:
    assert decode_body(b'{"stream":null,"model":null,"inner":null}', Sample) == Sample()
    assert decode_body(b"null", Sample) == Sample()


def test_last_key_wins_and_objects_merge() -> None:
    body = b'{"model":"a","options":{"a":1,"b":1},"Model":"b","options":{"b":2}}'
    assert decode_body(body, Sample) == Sample(model="b", options={"a": 1, "b": 2})


def test_only_the_first_value_is_read() -> None:
    assert decode_body(b' {"model":"a"}{"model":"b"} and more', Sample).model == "a"


def test_broken_text_becomes_replacement_characters() -> None:
    assert decode_body(b'{"model":"\xff\xfe"}', Sample).model == "\ufffd\ufffd"
    assert decode_body(b'{"model":"\\ud800x\\ud83d\\ude00"}', Sample).model == "\ufffdx\U0001f600"


@pytest.mark.parametrize("body", [b"", b"  \n\t"])
def test_missing_body(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="missing request body"):
        decode_body(body, Sample)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a"',
        b"{'model':'a'}",
        b'{"x":NaN}',
        b'\xef\xbb\xbf{"model":"a"}',
        b"[" * 100_000,
        b"[1]",
        b'{"x":' + b"9" * 5000 + b"}",
    ],
)
def test_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_body(body, Sample)


def test_a_wrong_type_names_its_field() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_body(b'{"items":[{"name":5}]}', Sample)
    assert caught.value.details["field"] == "items[0].name"


@given(st.binary(max_size=300))
def test_any_bytes_parse_or_are_refused(body: bytes) -> None:
    try:
        value = parse_json(body)
    except InvalidRequest:
        return
    msgspec.json.encode(value)


@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}"), ('[{"\\ud800":', "}]")])
def test_nesting_is_bounded(pair: tuple[str, str]) -> None:
    opening, closing = pair
    for levels in (MAX_DEPTH + 1, 700, 100_000):
        body = opening * levels + "1" + closing * levels
        with pytest.raises(InvalidRequest, match=r"nested deeper|not valid JSON"):
            parse_json(body.encode())


def test_nesting_as_deep_as_allowed_is_read() -> None:
    body = b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH
    value = parse_json(body)
    for _ in range(MAX_DEPTH):
        (value,) = value
    assert value == 1
    assert parse_json(b"[" + b"[]," * 500 + b"[]]") == [[]] * 501
    assert parse_json(b"1" + b"[" * 500) == 1
    assert parse_json(b'"' + b"{" * 500 + b'"') == "{" * 500


def test_repeated_objects_are_merged_without_copies() -> None:
    """A copy for each would take time in proportion to the square of their number."""
    before: dict[str, int] = {"a": 1, "b": 1}
    assert _merged(before, {"b": 2}) is before
    assert before == {"a": 1, "b": 2}
    body = "{" + ",".join(f'"options":{{"a{n}":1}}' for n in range(20_000)) + "}"
    assert len(decode_body(body.encode(), Sample).options) == 20_000
