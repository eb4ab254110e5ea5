"""The parsers of the families: thinking, calls, and what is neither."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.chat.deepseektags import CALL, CALL_END, CALLS, CALLS_END, SEPARATOR
from pyollama.chat.facts import ModelFacts
from pyollama.chat.interface import Turn
from pyollama.chat.names import check_names, renderer_of
from pyollama.chat.parsers import PARSERS, gemma
from pyollama.chat.parsers.pythonic import read_calls
from pyollama.errors import InvalidRequest
from pyollama.types import Delta, Message, Tool, ToolCall

from .conftest import ReadAll

_WEATHER = Tool(
    "get_weather",
    parameters={"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
)
_ASKED = (Message("user", "Weather?"),)
_RESULT = (*_ASKED, Message("tool", "rain"))
_BEGUN = (*_ASKED, Message("assistant", "Once"))

_JSON = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "5", "days": 2}}\n</tool_call>'
_XML = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\n5\n</parameter>\n"
    "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>"
)
_PAIRS = (
    "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>5</arg_value>\n"
    "<arg_key>days</arg_key><arg_value>2</arg_value></tool_call>"
)
_ARGUMENTS = '{"city":"5","days":2}'
_DEEPSEEK = f"{CALLS}{CALL}get_weather{SEPARATOR}{_ARGUMENTS}{CALL_END}{CALLS_END}"
_COGITO = (
    f"{CALLS}{CALL}function{SEPARATOR}get_weather\n```json\n{_ARGUMENTS}\n```{CALL_END}{CALLS_END}"
)
_GLIMMER = (
    '<atem:function_calls>\n<atem:invoke name="get_weather.get_weather">\n'
    '<atem:parameter name="city">5</atem:parameter>\n'
    '<atem:parameter name="days">2</atem:parameter>\n</atem:invoke>\n</atem:function_calls>'
)
_CALLS = {
    "cogito": _COGITO,
    "cohere": (
        '<|START_ACTION|>[\n{"tool_call_id": "0", "tool_name": "get_weather", '
        f'"parameters": {_ARGUMENTS}}}\n]<|END_ACTION|>'
    ),
    "deepseek3": _DEEPSEEK,
    "functiongemma": (
        "<start_function_call>call:get_weather{city:<escape>5<escape>,days:2}<end_function_call>"
    ),
    "gemma4": '<|tool_call>call:get_weather{city:<|"|>5<|"|>,days:2}<tool_call|>',
    "gemma4-no-thinking": '<|tool_call>call:get_weather{city:"5", days: 2}<tool_call|>',
    "glimmer": f" to=get_weather<|message|>{_GLIMMER}<|eot|>",
    "glm-4.7": _PAIRS,
    "glm-ocr": _PAIRS,
    "laguna": _PAIRS,
    "lfm2": '<|tool_call_start|>[get_weather(city="5", days=2)]<|tool_call_end|>',
    "lfm2-thinking": "<|tool_call_start|>[get_weather(city='5',days=2)]<|tool_call_end|>",
    "ministral": f"[TOOL_CALLS]get_weather[ARGS]{_ARGUMENTS}",
    "nemotron-3-nano": _XML,
    "nemotron-3.5-nano": _XML,
    "olmo3": '<function_calls>\nget_weather(city="5", days=2)\n</function_calls>',
    "ornith": _XML,
    "poolside-v1": _PAIRS.replace("\n", ""),
    "qwen3": _JSON,
    "qwen3-coder": _XML,
    "qwen3-thinking": _JSON,
    "qwen3-vl-instruct": _JSON,
    "qwen3-vl-thinking": _JSON,
    "qwen3.5": _XML,
}
_CALLED = ToolCall("get_weather", {"city": "5", "days": 2})


def _turn(
    think: bool | None = False,
    messages: tuple[Message, ...] = _ASKED,
    tools: tuple[Tool, ...] = (_WEATHER,),
) -> Turn:
    return Turn(messages, tools, think)


def _cut(call: str) -> str:
    return call[: call.index("5")]


@pytest.mark.parametrize("name", _CALLS)
def test_calls(name: str, read_all: ReadAll) -> None:
    assert PARSERS[name].tools
    read = read_all(lambda: PARSERS[name].create(_turn()), _CALLS[name])
    assert read == Delta(tool_calls=(_CALLED,))


@pytest.mark.parametrize("name", sorted(set(_CALLS) - {"glimmer"}))
def test_text_around_calls(name: str, read_all: ReadAll) -> None:
    """What is cut off is content with its tags, as anything that is no call."""
    text = f"Let me see.{_CALLS[name]}{_cut(_CALLS[name])}"
    read = read_all(lambda: PARSERS[name].create(_turn()), text)
    assert read == Delta(content=f"Let me see.{_cut(_CALLS[name])}", tool_calls=(_CALLED,))


def test_every_parser_with_calls_is_here() -> None:
    assert set(_CALLS) == {n for n, parser in PARSERS.items() if parser.tools} - {"harmony"}


@pytest.mark.parametrize(
    ("name", "think", "text", "thinking", "content"),
    [
        ("qwen3-thinking", None, " Hm, \n</think>\n\nYes", "Hm,", "Yes"),
        ("qwen3-thinking", True, "<think>\nHm</think>Yes", "Hm", "Yes"),
        ("qwen3-thinking", True, "<thin Hm", "<thin Hm", ""),
        ("qwen3-thinking", False, "Hm</think>Yes", "", "Hm</think>Yes"),
        ("qwen3.5", True, "Hm", "Hm", ""),
        ("olmo3-think", False, "Hm</think>Yes", "Hm", "Yes"),
        ("olmo3-think", True, "Hm</think>Yes", "Hm", "Yes"),
        ("deepseek3", None, "Plain", "", "Plain"),
        ("deepseek3", True, "Hm</think>Yes", "Hm", "Yes"),
        ("gemma4", True, "<|channel>thought\nHm\n<channel|>Yes", "Hm", "Yes"),
        ("gemma4", True, "Yes <|channel>", "", "Yes <|channel>"),
        ("gemma4", False, "<|channel>thought\nHm\n<channel|>Yes", "", "Yes"),
        ("glm-ocr", False, "<think>Hm</think>Yes", "Hm", "Yes"),
        ("qwen3-vl-thinking", False, "<think>Hm</think>Yes", "Hm", "Yes"),
        ("qwen3-vl-thinking", False, "Yes", "", "Yes"),
        ("glimmer", False, " to=self<|message|>Hm<|eom|> to=user<|message|>Yes", "", "Yes"),
        ("glm-ocr", True, "<think>Hm</think>\nYes", "Hm", "Yes"),
        ("glm-ocr", True, "Yes", "", "Yes"),
        ("lfm2-thinking", True, "\n<think>Hm</think>Yes", "Hm", "Yes"),
        ("cohere", True, "Hm<|END_THINKING|><|START_TEXT|>Yes<|END_TEXT|>", "Hm", "Yes"),
        ("cohere", False, "<|START_RESPONSE|>Yes <|END", "", "Yes <|END"),
        ("laguna", True, "Hm\n</think>\nYes", "Hm", "Yes"),
        ("glimmer", True, " to=self<|message|>Hm<|eom|><|start|>assistant to=user<|message|>Yes",
         "Hm", "Yes"),
        ("glimmer", True, "Yes", "", "Yes"),
    ],
)  # fmt: skip
def test_thinking(
    name: str, think: bool | None, text: str, thinking: str, content: str, read_all: ReadAll
) -> None:
    read = read_all(lambda: PARSERS[name].create(_turn(think)), text)
    assert read == Delta(content=content, thinking=thinking)


@pytest.mark.parametrize(
    "name",
    ["qwen3-thinking", "qwen3.5", "nemotron-3-nano", "glm-4.7", "laguna", "cohere", "cogito"],
)
def test_a_call_ends_thinking(name: str, read_all: ReadAll) -> None:
    read = read_all(lambda: PARSERS[name].create(_turn(think=True)), f"Hm.\n{_CALLS[name]}")
    assert read == Delta(thinking="Hm.", tool_calls=(_CALLED,))


@pytest.mark.parametrize(
    ("name", "messages", "thinking"),
    [
        ("qwen3-thinking", _BEGUN, False),
        ("nemotron-3-nano", _BEGUN, True),
        ("deepseek3", _RESULT, False),
        ("qwen3.5", _RESULT, True),
        ("gemma4", _RESULT, True),
        ("gemma4", _ASKED, False),
    ],
)
def test_where_an_answer_begins(
    name: str, messages: tuple[Message, ...], thinking: bool, read_all: ReadAll
) -> None:
    turn = _turn(think=True, messages=messages)
    read = read_all(lambda: PARSERS[name].create(turn), "Hm")
    assert read == (Delta(thinking="Hm") if thinking else Delta(content="Hm"))


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("f()", [("f", {})]),
        ("[f(a=1), g.h(b=None)]", [("f", {"a": 1}), ("g.h", {"b": None})]),
        ("f(a=True, b=false)\ng(c=-1e3)", [("f", {"a": True, "b": False}), ("g", {"c": -1000.0})]),
        ("""f(a="x\\"y\\n", b='\\u00e9', c="")""", [("f", {"a": 'x"y\n', "b": "é", "c": ""})]),
        ("""f(a=[1, 'b', {"c": (2,)}], d={})""", [("f", {"a": [1, "b", {"c": [2]}], "d": {}})]),
        ("f(a=bare word)", [("f", {"a": "bare word"})]),
        ("f(a=)", []),
        ("f(1)", []),
        ("f(a=1", []),
        ("f", []),
        ("", []),
        ("f(a=" + "[" * 5000, []),
    ],
)  # fmt: skip
def test_python_calls(text: str, calls: list[tuple[str, object]]) -> None:
    assert read_calls(text) == calls


def test_gemma_values(read_all: ReadAll) -> None:
    text = '<|tool_call>call:f{a:{b:[1,<|"|>x}<|"|>,true]},c:null,d:free text}<tool_call|>'
    read = read_all(lambda: PARSERS["gemma4"].create(_turn()), text)
    assert read.tool_calls[0].arguments == {
        "a": {"b": [1, "x}", True]},
        "c": None,
        "d": "free text",
    }


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ('{a:<|"|>x<|"|>', {"a": "x"}),
        ('{a:<|"|>x', {"a": "x"}),
        ("{a:'x', b:[1]}", {"a": "x", "b": [1]}),
        ("{}", {}),
        ("{", {}),
        ("{a:{b:1}", {"a": {"b": 1}}),
        ("", None),
        ("{a}", None),
        ("{a:1} b", None),
        ("{a:" + "[" * 5000, None),
    ],
)
def test_what_gemma_forgets(body: str, arguments: object) -> None:
    calls = gemma.reader('<|"|>')(f"call:f{body}")
    assert calls == ([] if arguments is None else [("f", arguments)])


def test_unknown_tools_of_ministral_are_content(read_all: ReadAll) -> None:
    text = '[TOOL_CALLS]launch[ARGS]{"n": 1} done'
    assert read_all(lambda: PARSERS["ministral"].create(_turn()), text) == Delta(content=text)


_PIECES = ["[TOOL_CALLS]", "[ARGS]", "get_weather", "{", "}", '"', "call:", ":", ",", "a", " ",
           "\n",
           CALLS, CALLS_END, CALL, CALL_END, SEPARATOR, "```json\n", "\n```", "<think>", "</think>",
           "<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "<|tool_call>",
           "<tool_call|>", "<|channel>", "thought\n", "<channel|>", "<|message|>", "<|eom|>",
           "<|start|>", " to=self", " to=get_weather", '<atem:invoke name="get_weather">',
           "</atem:invoke>", "<|START_ACTION|>", "<|END_ACTION|>", "<|END_THINKING|>",
           "<|START_TEXT|>", "<function_calls>", "</function_calls>", "(", ")", "=", "[", "]",
           '{"name": "f"}', '{"tool_name": "f"}']  # fmt: skip


@given(
    st.sampled_from(sorted(PARSERS)),
    st.lists(st.sampled_from(_PIECES), max_size=12),
    st.sampled_from([None, False, True]),
    st.sampled_from([_ASKED, _RESULT, _BEGUN]),
)
def test_cuts_do_not_matter(
    name: str, pieces: list[str], think: bool | None, messages: tuple[Message, ...]
) -> None:
    text = "".join(pieces)
    results = []
    for cut in ([text], pieces, text):
        parser = PARSERS[name].create(_turn(think, messages))
        deltas = [*map(parser.feed, cut), parser.flush()]
        calls = [(call.name, call.arguments) for delta in deltas for call in delta.tool_calls]
        said = "".join(d.content for d in deltas), "".join(d.thinking for d in deltas)
        results.append((said, calls))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(
    ("facts", "renderer"),
    [
        (ModelFacts(renderer="gemma4", name="gemma4", tag="e4b", size="30B"), "gemma4-small"),
        (ModelFacts(renderer="gemma4", name="gemma-4-31B-it", size="1.0B"), "gemma4-large"),
        (ModelFacts(renderer="gemma4", name="mine", size="25.2B"), "gemma4-large"),
        (ModelFacts(renderer="gemma4", name="mine", size="999.00M"), "gemma4-small"),
        (ModelFacts(renderer="gemma4", name="mine", size="?B"), "gemma4-small"),
        (ModelFacts(renderer="glm-4.7", name="x-31b"), "glm-4.7"),
    ],
)
def test_gemma_by_size(facts: ModelFacts, renderer: str) -> None:
    assert renderer_of(facts) == renderer


def test_names_are_checked() -> None:
    check_names("", "")
    check_names("qwen3.5", "qwen3.5")
    with pytest.raises(InvalidRequest, match='unknown renderer "qwen3"') as caught:
        check_names("qwen3", "")
    assert "qwen3-coder" in caught.value.hint
    with pytest.raises(InvalidRequest, match=r'unknown parser "olmo3\.1"'):
        check_names("olmo3.1", "olmo3.1")
