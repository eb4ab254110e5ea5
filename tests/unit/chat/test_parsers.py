"""The parsers and renderers that models name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.chat.interface import Turn
from pyollama.chat.parsers import PARSERS
from pyollama.chat.parsers.xmlvalues import declared_types, typed_value
from pyollama.chat.renderers import RENDERERS
from pyollama.types import Delta, Message, Tool, ToolCall

from .conftest import ReadAll

_WEATHER = Tool(
    "get_weather",
    "get_weather tool",
    {
        "type": "object",
        "required": ["city", "days"],
        "properties": {
            "city": {"type": "string", "description": "city"},
            "days": {"type": "integer", "description": "days"},
        },
    },
)
_QUESTION = Message("user", "Weather?")


def _turn(*messages: Message, tools: tuple[Tool, ...] = (_WEATHER,)) -> Turn:
    return Turn(messages or (_QUESTION,), tools)


# --- qwen3-coder --------------------------------------------------------------------------------

_CALL = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nTurin\n</parameter>\n"
    "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>"
)


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (_CALL, "", [("get_weather", {"city": "Turin", "days": 3})]),
        (f"I see. \n{_CALL}\n\nYes", "I see.Yes", [("get_weather", {"city": "Turin", "days": 3})]),
        (_CALL + "\n" + _CALL, "", [("get_weather", {"city": "Turin", "days": 3})] * 2),
        ("<tool_call><function=f></function></tool_call>", "", [("f", {})]),
        ("<tool_call>nonsense</tool_call> x", "<tool_call>nonsense</tool_call> x", []),
        (_CALL[:-5], _CALL[:-5], []),
        ("Just text <tool.  \n", "Just text <tool.  \n", []),
    ],
)  # fmt: skip
def test_qwen3_coder(
    text: str, content: str, calls: list[tuple[str, object]], read_all: ReadAll
) -> None:
    delta = read_all(lambda: PARSERS["qwen3-coder"].create(_turn()), text)
    assert delta.content == content
    assert [(call.name, call.arguments) for call in delta.tool_calls] == calls


@pytest.mark.parametrize(
    ("text", "types", "value"),
    [
        ("null", {"string"}, None),
        ("3", set(), "3"),
        ("3", {"integer"}, 3),
        ("3.5", {"integer"}, "3.5"),
        ("3.0", {"number"}, 3),
        ("3.5", {"number", "integer"}, 3.5),
        ("True", {"boolean"}, True),
        ("maybe", {"boolean"}, False),
        ("maybe", {"boolean", "string"}, "maybe"),
        ("[1]", {"array"}, [1]),
        ("[1", {"array"}, "[1"),
        ('{"a": 1}', {"object", "string"}, {"a": 1}),
        ("5", {"string"}, "5"),
    ],
)
def test_typed_values(text: str, types: set[str], value: object) -> None:
    assert typed_value(text, frozenset(types)) == value


def test_declared_types() -> None:
    schema = {"properties": {"a": {"anyOf": [{"type": "string"}, {"type": ["null", "array"]}]}}}
    assert declared_types([Tool("f", parameters=schema)], "f") == {"a": {"string", "null", "array"}}
    assert declared_types([Tool("f", parameters={"properties": 3})], "f") == {}
    assert declared_types([], "g") == {}


def test_qwen3_coder_prompt() -> None:
    render = RENDERERS["qwen3-coder"]
    call = ToolCall("get_weather", {"city": "Oslo", "days": [1, {"a": 2}]})
    turn = _turn(
        Message("system", "S."),
        _QUESTION,
        Message("assistant", "Wait.", tool_calls=(call,)),
        Message("tool", "rain"),
        Message("tool", "sun"),
        tools=(),
    )
    assert render(turn) == (
        "<|im_start|>system\nS.<|im_end|>\n<|im_start|>user\nWeather?<|im_end|>\n"
        "<|im_start|>assistant\nWait.\n\n<tool_call>\n<function=get_weather>\n"
        '<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n[1,{"a":2}]\n</parameter>\n'
        "</function>\n</tool_call><|im_end|>\n"
        "<|im_start|>user\n<tool_response>\nrain\n</tool_response>\n"
        "<tool_response>\nsun\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )
    prefilled = _turn(_QUESTION, Message("assistant", "Once"), tools=())
    assert render(prefilled).endswith("<|im_start|>assistant\nOnce")
    described = render(_turn())
    assert "<name>get_weather</name>\n<description>get_weather tool</description>" in described
    assert '<required>["city","days"]</required>\n</parameters>' in described


# --- harmony ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "thinking", "content"),
    [
        (
            (
                "<|channel|>analysis<|message|>Think first.<|end|><|start|>assistant"
                "<|channel|>final<|message|>Then speak."
            ),
            "Think first.",
            "Then speak.",
        ),
        ("<|channel|>commentary<|message|>A plan.<|end|>", "", "A plan."),
        ("<|channel|>final<|message|>a <|en b<|end", "", "a <|en b<|end"),
        ("<|message|>bare", "", "bare"),
        ("not in this form", "", "not in this form"),
        ("<|channel|>analysis<|message|>cut", "cut", ""),
        ("<|channel|>final<|message|>x<|end|><|start|>assis", "", "x"),
    ],
)
def test_harmony(text: str, thinking: str, content: str, read_all: ReadAll) -> None:
    read = read_all(lambda: PARSERS["harmony"].create(_turn()), text)
    assert read == Delta(content=content, thinking=thinking)


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary to=functions.get_weather <|constrain|>json",
        " to=functions.get_weather<|channel|>commentary",
        "<|channel|>analysis to=functions.get_weather code",
    ],
)
def test_harmony_calls(header: str, read_all: ReadAll) -> None:
    for end in ("", "<|call|>", "<|end|>"):
        text = f'{header}<|message|>{{"city":"Bern"}}{end}'
        read = read_all(lambda: PARSERS["harmony"].create(_turn()), text)
        assert read == Delta(tool_calls=(ToolCall("get_weather", {"city": "Bern"}),))


def test_harmony_call_that_is_none(read_all: ReadAll) -> None:
    text = '<|channel|>commentary to=functions.get_weather<|message|>{"city":'
    read = read_all(lambda: PARSERS["harmony"].create(_turn()), text)
    assert read == Delta(content='{"city":')


@pytest.mark.parametrize(
    ("last", "delta"),
    [
        (Message("assistant", "Once"), Delta(content="go on")),
        (Message("assistant", thinking="hm"), Delta(thinking="go on")),
    ],
)
def test_harmony_prefill(last: Message, delta: Delta, read_all: ReadAll) -> None:
    turn = _turn(_QUESTION, last)
    assert read_all(lambda: PARSERS["harmony"].create(turn), "go on") == delta


def test_harmony_names() -> None:
    names = ["get weather", "get.weather", "get-weather", "3d", "python", "browser.open", "\u00e9"]
    parser = PARSERS["harmony"]
    call = Message("assistant", tool_calls=(ToolCall("get.weather", {}),))
    turn = _turn(call, tools=tuple(map(Tool, names)))
    prepared = parser.prepare(turn)
    safe = [tool.name for tool in prepared.tools]
    assert safe == ["get_weather", "get_weather_2", "get_weather_3", "_3d", "python",
                    "browser.open", "_"]  # fmt: skip
    assert prepared.messages[0].tool_calls[0].name == "get_weather_2"
    assert parser.prepare(Turn((), think="max")).think == "high"
    reader = parser.create(_turn(tools=turn.tools))
    delta = reader.feed("<|channel|>commentary to=functions.get_weather_2<|message|>{}<|end|>")
    assert [c.name for c in delta.tool_calls] == ["get.weather"]


@given(
    st.sampled_from(sorted(PARSERS)),
    st.lists(st.sampled_from(["<|channel|>", "analysis", "final", "<|message|>", "<|end|>",
                              "<|start|>", "assistant", " to=f", "{", "}", "a", " ", "<tool_call>",
                              "</tool_call>", "<function=f>", "</function>", "<parameter=p>",
                              "</parameter>", "<", "\n"]), max_size=25),
)  # fmt: skip
def test_any_answer(name: str, pieces: list[str]) -> None:
    results = []
    for cut in (["".join(pieces)], pieces):
        parser = PARSERS[name].create(_turn())
        deltas = [*map(parser.feed, cut), parser.flush()]
        calls = [(call.name, call.arguments) for delta in deltas for call in delta.tool_calls]
        text = "".join(d.content for d in deltas), "".join(d.thinking for d in deltas)
        results.append((text, calls))
    assert results[0] == results[1]
