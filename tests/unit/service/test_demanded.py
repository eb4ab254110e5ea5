from __future__ import annotations

from collections.abc import AsyncGenerator

import jsonschema
import pytest

from pyollama.errors import EngineError, InvalidGrammar
from pyollama.service.demanded import calls_schema, demanded
from pyollama.types import AnswerEvent, ChatRequest, Delta, Done, Tool, ToolCall

SHIRT = Tool(
    "buy",
    parameters={
        "properties": {"size": {"$ref": "#/$defs/Size"}, "with": {"$ref": "#"}},
        "$defs": {"Size": {"enum": ["S", "M"]}},
        "additionalProperties": False,
    },
)
ANYTHING = Tool("wait")
REQUEST = ChatRequest(model="m", messages=(), tools=(SHIRT, ANYTHING))


def fits(call: object, *tools: Tool) -> bool:
    validator = jsonschema.Draft202012Validator(calls_schema(tools))
    return bool(validator.is_valid(call))


def test_a_schema_holds_one_call_to_its_own_function() -> None:
    assert fits({"name": "buy", "arguments": {"size": "S"}}, SHIRT, ANYTHING)
    assert fits({"name": "wait", "arguments": {"size": "XXL"}}, SHIRT, ANYTHING)
    assert not fits({"name": "buy", "arguments": {"size": "XXL"}}, SHIRT, ANYTHING)
    assert not fits({"name": "buy", "arguments": "S"}, SHIRT)
    assert not fits({"name": "wait", "arguments": {}}, SHIRT)
    assert not fits({"name": "buy"}, SHIRT)


def test_references_of_a_tool_stay_its_own() -> None:
    other = Tool(
        "other", parameters={"$ref": "#/$defs/Size", "$defs": {"Size": {"maxProperties": 0}}}
    )
    inner = {"name": "buy", "arguments": {"with": {"with": {"size": "M"}}}}
    assert fits(inner, SHIRT, other)
    inner["arguments"] = {"with": {"with": {"size": "XXL"}}}
    assert not fits(inner, SHIRT, other)
    assert fits({"name": "other", "arguments": {}}, SHIRT, other)
    assert not fits({"name": "other", "arguments": {"a": 1}}, SHIRT, other)


async def answer(*events: AnswerEvent | Exception) -> list[AnswerEvent]:
    async def ask(request: ChatRequest) -> AsyncGenerator[AnswerEvent, None]:
        assert request.format == calls_schema(REQUEST.tools)
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event

    return [event async for event in demanded(ask, REQUEST)]


async def test_a_call_after_thoughts() -> None:
    thought, done = await answer(
        Delta(thinking="Hm."),
        Delta('{"name": "wait", '),
        Done("stop", tail=Delta('"arguments": {"b": 1, "a": 2}}')),
    )
    assert thought == Delta(thinking="Hm.")
    assert isinstance(done, Done)
    (call,) = done.tail.tool_calls
    assert (call.name, list(call.arguments.items())) == ("wait", [("b", 1), ("a", 2)])
    assert call.id


async def test_a_call_that_the_models_own_parser_has_found() -> None:
    call = ToolCall("wait", {}, "call_1")
    delta = Delta(tool_calls=(call,))
    assert await answer(delta, Done("stop")) == [delta, Done("stop")]


async def test_a_call_that_is_cut_short_is_text() -> None:
    assert await answer(Delta('{"name"'), Done("length")) == [Done("length", tail=Delta('{"name"'))]


async def test_no_call_is_an_error() -> None:
    with pytest.raises(EngineError, match="did not make the call"):
        await answer(Delta("No."), Done("stop"))


async def test_a_schema_that_cannot_be_enforced_is_one_of_the_tools() -> None:
    with pytest.raises(InvalidGrammar) as caught:
        await answer(InvalidGrammar("not", field="format"))
    assert caught.value.details["field"] == "tools"
