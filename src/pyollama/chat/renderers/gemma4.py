"""The prompts of Gemma 4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from pyollama.chat.interface import Turn
from pyollama.chat.renderers.gemmavalues import declaration, members, value
from pyollama.chat.renderers.results import tool_name
from pyollama.types import Message, ToolCall

MARK = '<|"|>'
_SYSTEM = ("system", "developer")


def _render(turn: Turn, *, marks_no_thinking: bool) -> str:
    """``marks_no_thinking`` begins an answer without thinking with an empty thought."""
    return "".join(_parts(turn, marks_no_thinking))


def _parts(turn: Turn, marks_no_thinking: bool) -> Iterator[str]:
    messages = list(turn.messages)
    system = messages.pop(0).content.strip() if messages and messages[0].role in _SYSTEM else None
    yield "<bos>"
    if turn.think or turn.tools or system is not None:
        yield "<|turn>system\n" + ("<|think|>\n" if turn.think else "") + (system or "")
        for tool in turn.tools:
            yield f"<|tool>{declaration(tool, MARK)}<tool|>"
        yield "<turn|>\n"
    asked = max((at for at, m in enumerate(messages) if m.role == "user"), default=-1)
    ending = ""  # of the text so far, if a turn of the model goes on
    spoken = [(at, message) for at, message in enumerate(messages) if message.role != "tool"]
    for number, (position, message) in enumerate(spoken):
        before = spoken[number - 1][1].role if number else ""
        after = spoken[number + 1][1].role if number + 1 < len(spoken) else ""
        role = "model" if message.role == "assistant" else message.role
        yield "" if message.role == before == "assistant" else f"<|turn>{role}\n"
        if message.role == "assistant" and message.thinking and position > asked:
            yield f"<|channel>thought\n{message.thinking}\n<channel|>"
        results = "".join(_results(messages, position)) if message.tool_calls else ""
        yield "".join(map(_call, message.tool_calls)) + results
        content = message.content if role != "model" else _without_thoughts(message.content)
        yield content.strip()
        ending = "call" if message.tool_calls and not results else "result" if results else ""
        goes_on = message.role == after == "assistant" or (results and not content and not after)
        if ending == "call":
            yield "<|tool_response>"
        elif not goes_on:
            yield "<turn|>\n"
    if not ending:
        yield "<|turn>model\n"
        yield "" if turn.think or not marks_no_thinking else "<|channel>thought\n<channel|>"
    elif ending == "result" and turn.think:
        yield "<|channel>thought\n"


def _call(call: ToolCall) -> str:
    return f"<|tool_call>call:{call.name}{{{members(call.arguments, MARK)}}}<tool_call|>"


def _without_thoughts(content: str) -> str:
    pieces = content.split("<channel|>")
    return "".join(piece.partition("<|channel>")[0] for piece in pieces).strip()


def _results(messages: Sequence[Message], position: int) -> Iterator[str]:
    """What follows a message with calls."""
    for message in messages[position + 1 :]:
        if message.role != "tool":
            return
        name = tool_name(message, messages) or "unknown"
        value_text = value(message.content, MARK)
        yield f"<|tool_response>response:{name}{{value:{value_text}}}<tool_response|>"


small = partial(_render, marks_no_thinking=False)
large = partial(_render, marks_no_thinking=True)
