"""The prompts of DeepSeek-V3.1."""

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
    SEPARATOR,
    USER,
)
from pyollama.chat.interface import Turn
from pyollama.chat.renderers.chatml import split_thinking
from pyollama.chat.renderers.jsontext import compact, parameters
from pyollama.types import Message, Tool, ToolCall

_CALL_RULES = f"""
IMPORTANT: ALWAYS adhere to this exact format for tool use:
{CALLS}{CALL}tool_call_name{SEPARATOR}tool_call_arguments{CALL_END}{{{{additional_tool_calls}}}}{CALLS_END}

Where:

- `tool_call_name` must be an exact match to one of the available tools
- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces
"""


def render(turn: Turn) -> str:
    return "".join(_parts(turn))


def _parts(turn: Turn) -> Iterator[str]:
    messages = turn.messages
    yield BOS + "\n\n".join(m.content for m in messages if m.role == "system")
    yield _tool_section(turn.tools)
    asked = 0  # the position of the last question
    for position, message in enumerate(messages):
        asked = position if message.role == "user" else asked
    before = ""
    for position, message in enumerate(messages):
        if message.role == "user":
            yield USER + message.content
        elif message.role == "assistant":
            if before == "user":
                yield ASSISTANT
            yield from _answer(message, bool(turn.think) and position > asked, before)
        elif message.role == "tool":
            yield f"{OUTPUT}{message.content}{OUTPUT_END}"
        before = before if message.role == "system" else message.role
    if before == "user":
        yield ASSISTANT + ("<think>" if turn.think else "</think>")


def _answer(message: Message, shows_thinking: bool, before: str) -> Iterator[str]:
    if before == "user":
        thinking = message.thinking if shows_thinking and not message.tool_calls else ""
        yield f"<think>{thinking}</think>" if thinking else "</think>"
    yield split_thinking(message.content)[1]
    if message.tool_calls:
        yield CALLS + "".join(map(_call, message.tool_calls)) + CALLS_END
    yield END


def _call(call: ToolCall) -> str:
    return f"{CALL}{call.name}{SEPARATOR}{compact(call.arguments)}{CALL_END}"


def _tool_section(tools: Sequence[Tool]) -> str:
    if not tools:
        return ""
    described = "".join(
        f"\n### {tool.name}\nDescription: {tool.description}\n\n"
        f"Parameters: {compact(parameters(tool))}\n"
        for tool in tools
    )
    return f"\n\n## Tools\nYou have access to the following tools:\n{described}{_CALL_RULES}"
