"""What llama.cpp is asked, and how its readings become pieces of an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from pyollama.chat.interface import Turn
from pyollama.chat.jinja import JinjaFormat
from pyollama.chat.jinjaparser import JinjaParser
from pyollama.errors import EngineError, InvalidRequest, NativeError, UnsupportedCapability
from pyollama.types import Delta, Grammar, Message, Tool, ToolCall


class _Rendered:
    prompt: str = "PROMPT"
    grammar: str = 'root ::= "x"'
    grammar_lazy: bool = True
    grammar_trigger_patterns: Sequence[str] = ("<call>",)
    grammar_trigger_tokens: Sequence[int] = (7,)
    grammar_prefill: str = "<assistant>"
    preserved_tokens: Sequence[int] = (5, 6)
    stops: Sequence[str] = ("<end>",)

    def __init__(self, read: Callable[[str, bool], object] = lambda text, partial: {}) -> None:
        self._read = read

    def parse(self, text: str, *, partial: bool) -> str:
        return json.dumps(self._read(text, partial))


class _Template:
    def __init__(self) -> None:
        self.requests: list[dict[str, object]] = []

    def apply(self, request: str) -> _Rendered:
        self.requests.append(json.loads(request))
        return _Rendered()


def _ask(turn: Turn) -> dict[str, object]:
    template = _Template()
    JinjaFormat(template).chat(turn)
    return template.requests[0]


def test_messages_and_tools() -> None:
    call = ToolCall("f", {"b": 1, "a": 2}, id="c1")
    request = _ask(
        Turn(
            (
                Message("user", "q"),
                Message("assistant", "", "why", tool_calls=(call,)),
                Message("tool", "r", tool_name="f", tool_call_id="c1"),
            ),
            (Tool("f", "does", {"type": "object"}),),
            think="high",
        )
    )
    assert request["messages"] == [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "why",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"b": 1, "a": 2}'},
                }
            ],
        },
        {"role": "tool", "content": "r", "name": "f", "tool_call_id": "c1"},
    ]
    function = {"name": "f", "description": "does", "parameters": {"type": "object"}}
    assert request["tools"] == [{"type": "function", "function": function}]
    assert request["enable_thinking"] is True
    assert request["kwargs"] == {"reasoning_effort": "high"}
    assert request["add_generation_prompt"] is True


def test_think_is_left_out_when_nothing_is_said() -> None:
    assert "enable_thinking" not in _ask(Turn((Message("user", "q"),)))
    assert _ask(Turn((Message("user", "q"),), think=False))["enable_thinking"] is False


def test_a_last_answer_is_continued_without_thinking() -> None:
    request = _ask(Turn((Message("user", "q"), Message("assistant", "Once")), think=True))
    assert request["continue_final_message"] is True
    assert request["add_generation_prompt"] is False
    assert request["enable_thinking"] is False


def test_formats() -> None:
    turn = (Message("user", "q"),)
    assert _ask(Turn(turn, format="json"))["json_schema"] == {"type": "object"}
    assert _ask(Turn(turn, format={"type": "array"}))["json_schema"] == {"type": "array"}
    assert "json_schema" not in _ask(Turn(turn, format=""))
    with pytest.raises(InvalidRequest):
        _ask(Turn(turn, format="xml"))


def test_prompts() -> None:
    jinja = JinjaFormat(_Template())
    turn = Turn((Message("user", "q", images=(b"i",)),), format={"a": 1})
    chat = jinja.chat(turn)
    assert chat.text == "PROMPT"
    assert chat.stops == ("<end>",)
    assert chat.preserved_tokens == (5, 6)
    assert chat.images == (b"i",)
    assert chat.grammar == Grammar(
        'root ::= "x"',
        lazy=True,
        trigger_patterns=("<call>",),
        trigger_tokens=(7,),
        prefill="<assistant>",
    )
    complete = jinja.complete(turn)
    assert complete.grammar == Grammar('{"a": 1}', "json_schema")
    assert complete.parser.feed("<think>x") == Delta(content="<think>x")
    assert jinja.raw("r", turn).text == "r"
    assert jinja.raw("r", turn).grammar == complete.grammar
    assert jinja.after_thinking(turn, chat, "t") is chat
    with pytest.raises(UnsupportedCapability):
        jinja.insert("a", "b", turn)


def _parser(read: Callable[[str, bool], object]) -> JinjaParser:
    return JinjaParser(_Rendered(read), lambda: "made")


def test_differences_and_leading_space() -> None:
    def read(text: str, partial: bool) -> object:
        thinking, _, content = text.partition("|")
        return {"content": content, "reasoning_content": thinking}

    parser = _parser(read)
    assert parser.feed("hm") == Delta(thinking="hm")
    assert parser.feed("m|") == Delta(thinking="m")
    assert parser.feed(" \n") == Delta()
    assert parser.feed(" a ") == Delta(content="a ")
    assert parser.feed("b") == Delta(content="b")
    assert parser.flush() == Delta()


def test_calls_come_at_the_end() -> None:
    def read(text: str, partial: bool) -> object:
        calls = [{"id": "", "name": "f", "arguments": '{"z": 1, "a": 2}'},
                 {"id": "given", "name": "g", "arguments": ""}]  # fmt: skip
        return {"content": "c", "reasoning_content": "", "tool_calls": calls}

    parser = _parser(read)
    assert parser.feed("x") == Delta(content="c")
    assert parser.flush() == Delta(
        tool_calls=(
            ToolCall("f", {"z": 1, "a": 2}, id="made", index=0),
            ToolCall("g", {}, id="given", index=1),
        )
    )


@pytest.mark.parametrize("broken", ['{"city": "Pa', "[]", "nonsense"])
def test_a_call_that_was_cut_becomes_text(broken: str) -> None:
    def read(text: str, partial: bool) -> object:
        content, _, arguments = text.partition("<call>")
        calls = [{"id": "", "name": "f", "arguments": arguments}] if arguments else []
        return {"content": content, "reasoning_content": "", "tool_calls": calls}

    parser = _parser(read)
    assert parser.feed("Wait. ") == Delta(content="Wait. ")
    assert parser.feed("<call>" + broken) == Delta()
    assert parser.flush() == Delta(content="<call>" + broken)
    nothing_else = _parser(read)
    nothing_else.feed("<call>" + broken)
    with pytest.raises(EngineError, match="inside of a tool call"):
        nothing_else.flush()


def test_a_reading_that_fails_is_tried_again() -> None:
    def read(text: str, partial: bool) -> object:
        if len(text) < 3 or not partial:
            raise NativeError("cannot parse")
        return {"content": text[:2]}

    parser = _parser(read)
    assert parser.feed("ab") == Delta()
    assert parser.feed("cd") == Delta(content="ab")
    assert parser.flush() == Delta(content="cd")


def test_a_reading_that_takes_something_back_adds_nothing() -> None:
    readings = iter(["abc", "ab", "abcd"])
    parser = _parser(lambda text, partial: {"content": next(readings)})
    assert [parser.feed("x").content for _ in range(3)] == ["abc", "", "d"]


_JSON = '("```json" space response-format space "```" | space response-format space)'


@pytest.mark.parametrize(
    ("root", "guided"),
    [
        (rf'"<|im_start|>assistant\n" space space {_JSON}', True),
        (f"space space {_JSON}", True),
        (r'"<|im_start|>assistant\n" space response-format', True),
        (r'"<|im_start|>assistant\n" response-format-schema', True),
        (rf'"assistant" space ("<think>" until-4 "</think>")? space {_JSON}', False),
        ("(start analysis)* start response-format", False),
        ('start (thought | )? "```json" space response-format-schema space "```"', False),
        ('"assistant" "</think>"? response-format', False),
        ('"a" | tool-call', False),
    ],
)
def test_only_an_answer_that_is_nothing_but_json_gets_a_guide(root: str, guided: bool) -> None:
    source = f'response-format ::= "{{" "}}"\nroot ::= {root}\nspace ::= " "?\n'

    class Template(_Template):
        def apply(self, request: str) -> _Rendered:
            rendered = _Rendered()
            rendered.grammar, rendered.grammar_lazy = source, False
            return rendered

    turn = Turn((Message("user", "q"),), format={"type": "object"})
    grammar = JinjaFormat(Template()).chat(turn).grammar
    assert grammar is not None
    assert (grammar.kind, grammar.text) == (
        ("json_schema", '{"type": "object"}') if guided else ("gbnf", source)
    )
    begun = Turn((*turn.messages, Message("assistant", '{"a":')), format="json")
    kept = JinjaFormat(Template()).chat(begun).grammar
    assert kept is not None and kept.kind == "gbnf"
