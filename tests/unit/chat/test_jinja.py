"""What llama.cpp is asked, and how its readings become pieces of an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

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
    thinking_start: str = "<think>"
    thinking_ends: Sequence[str] = ("\n</think>", "</think>")
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
    ("root", "kind", "later"),
    [
        (rf'"<|im_start|>assistant\n" space space {_JSON}', "json_schema", False),
        (f"space space {_JSON}", "json_schema", False),
        (r'"<|im_start|>assistant\n" space response-format', "json_schema", False),
        (r'"<|im_start|>assistant\n" response-format-schema', "json_schema", False),
        (rf'"assistant" space ("<think>" until-4 "</think>")? space {_JSON}', None, True),
        (rf'"a" space ("<think>" "\n"? until-4 "\n"? "</think>" "\n"?)? space {_JSON}', None, True),
        ('"a" ("<think>" space until-6 ("</think>" | ))? space response-format', None, True),
        ('"a" ("<think>" until-21 "</think>")? response-format', None, True),
        ("", None, True),
        ("(start analysis)* start response-format", "gbnf", False),
        ('start (thought | )? "```json" space response-format-schema space "```"', "gbnf", False),
        ('"assistant" "</think>"? response-format', "gbnf", False),
        ('"a" "<think>" until-3 "</think>" space response-format', "gbnf", False),
        ('"a" | tool-call', "gbnf", False),
    ],
)
def test_who_follows_a_format(root: str, kind: str | None, later: bool) -> None:
    """A guide where the answer is nothing but JSON, perhaps after thinking; else llama.cpp."""
    rules = f'response-format ::= "{{" "}}"\nroot ::= {root}\nspace ::= " "?\n'
    jinja = _jinja_with(rules if root else "", thinks=kind is None)
    turn = Turn((Message("user", "q"),), format={"type": "object"})
    prompt = jinja.chat(turn)
    assert (prompt.grammar.kind if prompt.grammar else None, prompt.constrain_later) == (
        kind,
        later,
    )
    off = jinja.chat(replace(turn, think=False))
    assert not off.constrain_later and off.grammar is not None
    assert off.grammar.kind == (kind or "json_schema")
    begun = jinja.chat(replace(turn, messages=(*turn.messages, Message("assistant", "{"))))
    assert (begun.grammar and begun.grammar.kind) == ("gbnf" if root else None)


@pytest.mark.parametrize(
    ("end", "thinking", "text"),
    [
        ("assistant\n", "hm\n", "assistant\n<think>\nhm\n</think>\n\n"),
        ("assistant\n", "", "assistant\n"),
        ("assistant\n<think>\n", "hm", "assistant\n<think>\nhm\n</think>\n\n"),
        ("assistant\n<think>", "", "assistant\n<think>\n\n</think>\n\n"),
    ],
)
def test_the_format_follows_the_thinking(end: str, thinking: str, text: str) -> None:
    jinja = _jinja_with(f'root ::= "a" ("<think>" until-4 "</think>")? space {_JSON}')
    turn = Turn((Message("user", "q"),), format="json", think=True)
    first = replace(jinja.chat(turn), text=end)
    assert first.constrain_later and first.grammar is None
    second = jinja.after_thinking(turn, first, thinking)
    assert (second.text, second.grammar) == (text, Grammar(kind="json"))
    assert not second.constrain_later
    assert second.parser.feed("<think>") == Delta(content="<think>")


def _jinja_with(grammar: str, *, thinks: bool = True) -> JinjaFormat:
    class Template(_Template):
        def apply(self, request: str) -> _Rendered:
            rendered = _Rendered()
            rendered.grammar, rendered.grammar_lazy = grammar, False
            rendered.thinking_start = "<think>" if thinks else ""
            return rendered

    return JinjaFormat(Template())
