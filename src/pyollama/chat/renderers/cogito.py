"""The prompts of Cogito v2: DeepSeek's frame, with an introduction and calls of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyollama.chat.deepseektags import (
    ASSISTANT,
    BOS,
    CALL,
    CALL_END,
    CALLS,
    CALLS_END,
    END,
    OUTPUT,
    OUTPUT_END,
    OUTPUTS,
    OUTPUTS_END,
    SEPARATOR,
    USER,
)
from pyollama.chat.interface import Turn
from pyollama.chat.renderers.jsontext import compact, declaration, indented
from pyollama.types import Message, Tool, ToolCall

_THINK = "Enable deep thinking subroutine."
_INTRODUCTION = (
    "You are Cogito, an AI assistant created by Deep Cogito, which is an AI research lab "
    "based in San Francisco."
)


def render(turn: Turn) -> str:
    return "".join(_parts(turn))


def _parts(turn: Turn) -> Iterator[str]:
    messages = list(turn.messages)
    system = messages.pop(0).content if messages and messages[0].role == "system" else ""
    paragraphs = [_THINK] * bool(turn.think) + [_INTRODUCTION] + [system] * bool(system)
    yield BOS + "\n\n".join(paragraphs) + ("\n\n" if turn.think and system else "")
    yield _tool_section(turn.tools)
    for position, message in enumerate(messages):
        if message.role == "user":
            yield USER + message.content + ASSISTANT
        elif message.role == "assistant":
            yield _answer(message)
        elif message.role == "tool":
            yield from _result(messages, position)
    yield "" if messages and messages[-1].role == "user" else ASSISTANT
    yield "<think>\n" if turn.think else ""


def _answer(message: Message) -> str:
    if not message.tool_calls:
        return message.content + END
    calls = "\n".join(map(_call, message.tool_calls))
    return f"{message.content}{CALLS}{calls}{CALLS_END}{END}"


def _call(call: ToolCall) -> str:
    arguments = f"```json\n{compact(call.arguments)}\n```"
    return f"{CALL}function{SEPARATOR}{call.name}\n{arguments}{CALL_END}"


def _result(messages: Sequence[Message], position: int) -> Iterator[str]:
    is_first = position == 0 or messages[position - 1].role != "tool"
    is_last = position == len(messages) - 1 or messages[position + 1].role != "tool"
    yield OUTPUTS if is_first else "\n"
    yield f"{OUTPUT}{messages[position].content}{OUTPUT_END}"
    yield OUTPUTS_END if is_last else ""


def _tool_section(tools: Sequence[Tool]) -> str:
    if not tools:
        return ""
    described = "".join(f"```json\n{indented(declaration(tool))}\n```\n" for tool in tools)
    return f"\nYou have the following functions available:\n{described}"
