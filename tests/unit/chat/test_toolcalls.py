from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.chat.toolcalls import ToolCallParser, preserved_text
from pyollama.types import Delta, Tool, ToolCall

from .conftest import ReadAll

_TOOLS = [Tool("get_weather"), Tool("get_time"), Tool("get"), Tool("ping")]
_NOW = '{"name": "get_time", "arguments": {}}'
_PARIS = '{"name": "get_weather", "arguments": {"city": "Paris"}}'


def _read(read_all: ReadAll, tag: str, text: str) -> tuple[str, list[tuple[str, object]]]:
    delta = read_all(lambda: ToolCallParser(tag, _TOOLS), text)
    assert [call.index for call in delta.tool_calls] == list(range(len(delta.tool_calls)))
    return delta.content, [(call.name, call.arguments) for call in delta.tool_calls]


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (f"<tool_call>\n{_PARIS}\n</tool_call>", "", [("get_weather", {"city": "Paris"})]),
        ("I will check.\n<tool_call>" + _PARIS, "I will check.\n",
         [("get_weather", {"city": "Paris"})]),
        ('<tool_call>{"name":"get_time","parameters":{"b":1,"a":{}}}', "",
         [("get_time", {"b": 1, "a": {}})]),
        ('<tool_call>{"name":"get_time","arguments":"{\\"z\\": \\"}\\"}"}', "",
         [("get_time", {"z": "}"})]),
        ('<tool_call>get_time{"zone": "a}\\"{"}', "", [("get_time", {"zone": 'a}"{'})]),
        ('<tool_call>{"get_time": {"zone": "x"}}', "", [("get_time", {"zone": "x"})]),
        ('<tool_call>{"calls":[{"f":{"name":"get","arguments":{}}},{"ping":{"n":1}}]}', "",
         [("get", {}), ("ping", {"n": 1})]),
        (f"<tool_call>{_PARIS}</tool_call>\n<tool_call>{_NOW}</tool_call>", "",
         [("get_weather", {"city": "Paris"}), ("get_time", {})]),
        ('<tool_call>{"name": "ping", "arguments": {}}</tool_call>\n', "", [("ping", {})]),
        ('<tool_call>{"name": "ping"}</tool_call>', "", [("ping", {})]),
        ("No call, <tool and <tool_cal.", "No call, <tool and <tool_cal.", []),
        ("", "", []),
    ],
)  # fmt: skip
def test_calls(text: str, content: str, calls: list[tuple[str, object]], read_all: ReadAll) -> None:
    assert _read(read_all, "<tool_call>", text) == (content, calls)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "launch_rocket", "arguments": {"n": 1}}\n</tool_call>',
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rio"\n</tool_call> ',
        '<tool_call>{"name": "get_weather", ',
        '<tool_call>{"name": "get_weather", "arguments": {nonsense}}',
        '<tool_call>{"name": "other", "arguments": {"q": "get_weather"}}',
        "text <tool_call>",
    ],
)
def test_what_is_no_call_is_content(text: str, read_all: ReadAll) -> None:
    assert _read(read_all, "<tool_call>", text) == (text, [])


def test_a_call_that_fails_after_one_that_did_not(read_all: ReadAll) -> None:
    content, calls = _read(
        read_all, "<tool_call>", f'<tool_call>{_PARIS}</tool_call>\n<tool_call>{{"name": "get_t'
    )
    assert content == '<tool_call>{"name": "get_t'
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (_PARIS, "", [("get_weather", {"city": "Paris"})]),
        ('{"name": "get_time", "parameters": {"zone": 1}} bye', "", [("get_time", {"zone": 1})]),
        ('{"city": "Paris", "temp": 21.5}', '{"city": "Paris", "temp": 21.5}', []),
        ('{"city": "Par', '{"city": "Par', []),
        ("text first " + _PARIS, "text first " + _PARIS, []),
    ],
)  # fmt: skip
def test_bare_braces(
    text: str, content: str, calls: list[tuple[str, object]], read_all: ReadAll
) -> None:
    assert _read(read_all, "{", text) == (content, calls)


def test_bare_lists(read_all: ReadAll) -> None:
    two = f'[{_PARIS}, {{"name": "get_time", "arguments": {{}}}}]'
    assert [name for name, _ in _read(read_all, "[", two)[1]] == ["get_weather", "get_time"]
    assert _read(read_all, "[", "[1, 2]") == ("[1, 2]", [])
    assert _read(read_all, "[", "[") == ("[", [])


def test_a_list_of_something_else_does_not_wait() -> None:
    parser = ToolCallParser("[", _TOOLS)
    assert parser.feed("[link](http") == Delta(content="[link](http")


def test_content_streams_and_ids_differ() -> None:
    parser = ToolCallParser("<tool_call>", _TOOLS)
    assert parser.feed("Let <too") == Delta(content="Let ")
    assert parser.feed("l me") == Delta(content="<tool me")
    (first,) = parser.feed("<tool_call>" + _PARIS).tool_calls
    (second,) = parser.feed(_PARIS).tool_calls
    assert first.id != second.id
    assert first.id.startswith("call_")
    assert len(first.id) == 13
    assert second == ToolCall("get_weather", {"city": "Paris"}, second.id, 1)


def test_arguments_keep_their_order() -> None:
    (call,) = (
        ToolCallParser("{", _TOOLS)
        .feed('{"name": "ping", "arguments": {"z": 1, "a": 2, "m": 3}}')
        .tool_calls
    )
    assert list(call.arguments) == ["z", "a", "m"]


@given(
    st.sampled_from(["{", "[", "<tool_call>"]),
    st.lists(st.sampled_from(["<tool_call>", '{"name":', '"get"', ",", '"arguments":{', "}", "{",
                              "[", "]", '"', "\\", "a", " "]), max_size=30),
)  # fmt: skip
def test_any_answer(tag: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    results = []
    for cut in ([text], pieces):
        parser = ToolCallParser(tag, _TOOLS, lambda: "id")
        deltas = [*map(parser.feed, cut), parser.flush()]
        calls = [call for delta in deltas for call in delta.tool_calls]
        results.append(("".join(d.content for d in deltas), calls))
    assert results[0] == results[1]
    content, calls = results[0]
    assert calls or content == text


def test_long_arguments_are_read_once() -> None:
    parser = ToolCallParser("{", _TOOLS)
    text = json.dumps({"name": "ping", "arguments": {"code": 'x{}\\"' * 40_000}})
    calls = [call for start in range(0, len(text), 4)
             for call in parser.feed(text[start : start + 4]).tool_calls]  # fmt: skip
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("tag", "text"),
    [("{", None), ("[", None), ("<tool_call>", "<tool_call>"), ("[TOOL_CALLS] [", "[TOOL_CALLS]"),
     ("<a> b", "<a>"), ("call:", "call:")],
)  # fmt: skip
def test_special_tokens(tag: str, text: str | None) -> None:
    assert preserved_text(tag) == text
