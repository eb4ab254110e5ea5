"""The prompts of LFM2: ChatML, calls as function calls of Python."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec

from pyollama.chat.interface import Turn
from pyollama.chat.renderers import chatml
from pyollama.chat.renderers.jsontext import function, spaced
from pyollama.types import Message, ToolCall


def _render(turn: Turn, *, thinks: bool) -> str:
    """``thinks`` shows the thinking of earlier answers."""
    return "".join(_parts(turn, thinks))


def _parts(turn: Turn, thinks: bool) -> Iterator[str]:
    messages = list(turn.messages)
    lines = []
    if messages and messages[0].role == "system":
        lines = [messages.pop(0).content]
    if turn.tools:
        listed = ", ".join(spaced(function(tool)) for tool in turn.tools)
        lines.append(f"List of tools: <|tool_list_start|>[{listed}]<|tool_list_end|>")
    yield "<|startoftext|>"
    if system := "\n".join(filter(None, lines)):
        yield chatml.turn("system", system)
    last = max((at for at, m in enumerate(messages) if m.role == "assistant"), default=-1)
    for position, message in enumerate(messages):
        if message.role == "assistant":
            if thinks and not turn.think and position != last:
                message = _without_thinking(message)
            yield chatml.ANSWER + _answer(message, thinks)
            yield "" if position == len(messages) - 1 else chatml.END
        elif message.role == "tool":
            result = f"<|tool_response_start|>{message.content}<|tool_response_end|>"
            yield chatml.turn("tool", result)
        else:
            yield chatml.turn(message.role, message.content)
    if not messages or messages[-1].role != "assistant":
        yield chatml.ANSWER


def _without_thinking(message: Message) -> Message:
    if not message.thinking:
        return message
    return msgspec.structs.replace(message, thinking="", content=message.content.strip())


def _answer(message: Message, thinks: bool) -> str:
    thinking = f"<think>{message.thinking}</think>" if thinks and message.thinking else ""
    calls = ""
    if message.tool_calls:
        listed = ",".join(map(_call, message.tool_calls))
        calls = f"<|tool_call_start|>[{listed}]<|tool_call_end|>"
        calls += "\n" if message.content.strip() else ""
    return thinking + calls + message.content


def _call(call: ToolCall) -> str:
    values = ",".join(f"{name}={spaced(call.arguments[name])}" for name in sorted(call.arguments))
    return f"{call.name}({values})"


instruct = partial(_render, thinks=False)
thinking = partial(_render, thinks=True)
