from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pyollama.durations import LONGEST, SECOND
from pyollama.errors import InvalidRequest
from pyollama.server.body import decode_body
from pyollama.server.ollama import convert, schemas
from pyollama.server.values import keep_alive
from pyollama.types import Message, Tool, ToolCall


def chat_body(**fields: Any) -> schemas.Chat:
    return decode_body(msgspec.json.encode({"model": "m"} | fields), schemas.Chat)


def test_chat() -> None:
    request = convert.chat(
        chat_body(
            messages=[
                {"role": "USER", "content": "hi", "images": ["iVBORw0KGgo="]},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"function": {"name": "f", "arguments": {"b": 1, "a": 2}}}],
                },
                {"role": "tool", "content": "4", "tool_name": "f"},
            ],
            tools=[{"type": "function", "function": {"name": "f", "parameters": {"x-odd": 1}}}],
            keep_alive="1m",
            think="high",
            format="",
        )
    )
    assert request.messages == (
        Message("user", "hi", images=(b"\x89PNG\r\n\x1a\n",)),
        Message("assistant", tool_calls=(ToolCall("f", {"b": 1, "a": 2}),)),
        Message("tool", "4", tool_name="f"),
    )
    assert request.tools == (Tool("f", parameters={"x-odd": 1}),)
    assert (request.keep_alive, request.think, request.format) == (60.0, "high", None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        (0, 0),
        (-1, -1),
        (0.5, 0.5),
        ("1h30m", 5400),
        ("0", 0),
        (10**400, LONGEST / SECOND),
        (-1e300, -LONGEST / SECOND),
    ],
)
def test_keep_alive(value: Any, seconds: float | None) -> None:
    assert keep_alive(value) == seconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "Unsupported type: 'bool'"),
        ([], r"Unsupported type: '\[\]interface \{\}'"),
        ({}, r"Unsupported type: 'map\[string\]interface \{\}'"),
        ("10", "missing unit"),
        ("ten", "invalid duration"),
    ],
)
def test_bad_keep_alive(value: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        keep_alive(value)


@pytest.mark.parametrize("value", ["yes", "", "High", 1, {}])
def test_bad_think(value: Any) -> None:
    with pytest.raises(InvalidRequest, match='"high", "medium", "low", "max", true, or false'):
        convert.think(value)


@pytest.mark.parametrize("count", [-1, 21])
def test_top_logprobs_have_a_range(count: int) -> None:
    with pytest.raises(InvalidRequest, match="between 0 and 20"):
        convert.chat(chat_body(top_logprobs=count))


@pytest.mark.parametrize("text", ["!!!", "data:image/png;base64,AAAA", "é"])
def test_images_must_be_base64(text: str) -> None:
    with pytest.raises(InvalidRequest, match="base64"):
        convert.completion(schemas.Generate(model="m", images=[text]))


@pytest.mark.parametrize("extra", [{"template": "x"}, {"system": "x"}, {"context": [1]}])
def test_raw_excludes_what_shapes_the_prompt(extra: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="raw mode"):
        convert.completion(schemas.Generate(model="m", raw=True, **extra))


@pytest.mark.parametrize(
    ("value", "inputs"), [(None, ()), ("", ()), ([], ()), ("a", ("a",)), (["", "b"], ("", "b"))]
)
def test_inputs(value: Any, inputs: tuple[str, ...]) -> None:
    assert convert.embedding(schemas.Embed(model="m", input=value)).inputs == inputs


@pytest.mark.parametrize("value", [5, True, {"a": 1}, ["a", 1], [["a"]], [None]])
def test_bad_inputs(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="invalid input type"):
        convert.embedding(schemas.Embed(model="m", input=value))


def test_creation_takes_old_keys_and_one_or_many_licences() -> None:
    request = convert.creation(
        schemas.Create(name="n", from_="b", quantization="Q8_0", license="one")
    )
    assert (request.model, request.base, request.quantize) == ("n", "b", "Q8_0")
    assert request.licenses == ("one",)
    assert convert.creation(schemas.Create(license=["a", "b"])).licenses == ("a", "b")
