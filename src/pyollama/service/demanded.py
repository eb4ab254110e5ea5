"""Calls that a model has to make.

How calls are written differs from model to model, but every model can be held to a schema. So the
answer has to be JSON that says which function is called and with what, whatever the model's own
markup for calls is; the functions are described to it as they always are.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from msgspec.structs import replace

from pyollama.chat.callids import new_call_id
from pyollama.errors import EngineError, InvalidGrammar
from pyollama.types import JSON, AnswerEvent, ChatRequest, Delta, Done, Rendered, Tool, ToolCall

Ask = Callable[[ChatRequest], AsyncGenerator[AnswerEvent, None]]


async def demanded(ask: Ask, request: ChatRequest) -> AsyncGenerator[AnswerEvent, None]:
    """An answer that is one call of one of the request's tools, thoughts before it aside.

    An answer that is cut short has the text so far and no call. :class:`InvalidGrammar` names a
    schema of a tool that cannot be enforced.
    """
    said: list[str] = []
    called = False
    constrained = replace(request, format=calls_schema(request.tools))
    try:
        async with aclosing(ask(constrained)) as events:
            async for event in events:
                if isinstance(event, Rendered):
                    yield event
                    continue
                delta = event.tail if isinstance(event, Done) else event
                said.append(delta.content)
                called = called or bool(delta.tool_calls)
                kept = replace(delta, content="")
                if isinstance(event, Done):
                    tail = kept if called else _end("".join(said), kept, event.reason)
                    yield replace(event, tail=tail)
                elif kept != Delta():
                    yield kept
    except InvalidGrammar as error:
        raise InvalidGrammar(error.message, hint=error.hint, field="tools") from error


def calls_schema(tools: Sequence[Tool]) -> JSON:
    """The schema of one call, as an object with ``name`` and ``arguments``."""
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool.name},
                "arguments": {"$ref": f"#/$defs/{index}"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for index, tool in enumerate(tools)
    ]
    definitions = {
        str(index): {"type": "object"} | _moved(tool.parameters, f"#/$defs/{index}")
        for index, tool in enumerate(tools)
    }
    return {**(calls[0] if len(calls) == 1 else {"anyOf": calls}), "$defs": definitions}


def _moved(schema: Any, place: str) -> Any:
    """``schema`` with its references to parts of itself, for its new place in another one."""
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _moved(value, place) for key, value in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = place + reference[1:]
    return moved


def _end(text: str, tail: Delta, reason: str) -> Delta:
    try:
        call = json.loads(text)
        found = ToolCall(call["name"], call["arguments"], new_call_id())
    except (ValueError, KeyError, TypeError) as error:
        if reason == "stop":
            raise EngineError("the model did not make the call that it had to make") from error
        return replace(tail, content=text)
    return replace(tail, tool_calls=(found,))
