"""The prompts of Cohere's newer Command models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pyollama.chat.interface import Turn
from pyollama.chat.renderers.chatml import begins_answer
from pyollama.chat.renderers.jsontext import parameters, spaced
from pyollama.types import Message, Tool

_GAP = "\n\n"
_INDENT = f"\n{' ' * 12}\n{' ' * 16}"
"""What the family's own template leaves in front of thinking that leads to a call."""
_END = "<|END_OF_TURN_TOKEN|>"


def _turn(who: str) -> str:
    return f"<|START_OF_TURN_TOKEN|><|{who}_TOKEN|>"


def _text(content: str) -> str:
    return f"<|START_TEXT|>{content}<|END_TEXT|>"


def render(turn: Turn) -> str:
    return "".join(_parts(turn))


def _parts(turn: Turn) -> Iterator[str]:
    messages = turn.messages
    system = ""
    if messages and messages[0].role == "system":
        system, messages = messages[0].content, messages[1:]
    yield _turn("SYSTEM") + _text(_system(system, turn.tools)) + _END
    numbers = _numbers(messages)
    results: list[str] = []
    for position, message in enumerate(messages):
        if message.role == "tool":
            results.append(_result(message, numbers))
            if position == len(messages) - 1 or messages[position + 1].role != "tool":
                listed = ",\n".join(results)
                yield _turn("SYSTEM")
                yield f"<|START_TOOL_RESULT|>[\n{listed}\n\n]<|END_TOOL_RESULT|>{_END}"
                results = []
        elif message.role == "assistant":
            yield _turn("CHATBOT")
            yield from _answer(message, numbers, position == len(messages) - 1)
        else:
            yield _turn("USER" if message.role == "user" else "SYSTEM")
            yield _text(message.content) + _END
    if not begins_answer(messages):
        yield _turn("CHATBOT") + "<|START_THINKING|>"
        yield "<|END_THINKING|>" if turn.think is False else ""


def _system(system: str, tools: Sequence[Tool]) -> str:
    listed = f",{_GAP}".join(
        f'\n    {{"name": "{tool.name}", "description": "{tool.description}", '
        f'"parameters": {spaced(parameters(tool))}, "responses": null}}'
        for tool in tools
    )
    before = f"{system}\n\n\n\n" if system else ""
    return f"{before}# Available Tools\n```json\n[\n{listed}{_GAP}\n]\n```"


def _answer(message: Message, numbers: Mapping[str, int], is_last: bool) -> Iterator[str]:
    yield _INDENT if message.tool_calls else ""
    if message.thinking:
        yield f"<|START_THINKING|>{message.thinking}<|END_THINKING|>"
    if message.tool_calls:
        listed = ",".join(
            f'\n\n    {{"tool_call_id": "{numbers[call.id]}", "tool_name": "{call.name}", '
            f'"parameters": {spaced(call.arguments)}}}'
            for call in message.tool_calls
        )
        yield f"<|START_ACTION|>[{listed}\n\n]<|END_ACTION|>{_END}"
    elif is_last:
        yield f"<|START_TEXT|>{message.content}"
    else:
        yield _text(message.content) + _END


def _numbers(messages: Sequence[Message]) -> dict[str, int]:
    """The model knows calls by number."""
    calls = [call for message in messages for call in message.tool_calls]
    return {call.id: number for number, call in enumerate(calls)}


def _result(message: Message, numbers: Mapping[str, int]) -> str:
    number = numbers.get(message.tool_call_id, 0)
    content = spaced({"content": message.content})
    return (
        f'    {{\n        "tool_call_id": "{number}",\n        "results": {{\n\n            \n'
        f'            "0": {content}\n\n        }},\n        "is_error": null\n    }}'
    )
