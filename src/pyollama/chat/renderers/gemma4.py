"""The prompts of Gemma 4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from pyollama.chat.interface import Turn
from pyollama.chat.renderers.gemmavalues import declaration, members, value
from pyollama.chat.renderers.results import tool_name
from pyollama.types import Message

MARK = '<|"|>'
_SYSTEM = ("system", "developer")


def _render(turn: Turn, *, marks_no_thinking: bool) -> str:
    """``marks_no_thinking`` begins an answer without thinking with an empty thought."""
    return "".join(_parts(turn, marks_no_thinking))


def _parts(turn: Turn, marks_no_thinking: bool) -> Iterator[str]:
    messages = list(turn.messages)
    system = ""
    if messages and messages[0].role in _SYSTEM:
        system = messages.pop(0).content.strip()
    yield "<bos>"
    if turn.think or turn.tools or system:
        yield "<|turn>system\n" + ("<|think|>\n" if turn.think else "") + system
        for tool in turn.tools:
            yield f"<|tool>{declaration(tool, MARK)}<tool|>"
        yield "<turn|>\n"
    asked = max((at for at, m in enumerate(messages) if m.role == "user"), default=-1)
    is_open = False  # whether a turn of the model goes on
    for position, message in enumerate(messages):
        if message.role == "tool":
            yield _result(message, messages)
            continue
        role = "model" if message.role == "assistant" else message.role
        yield "" if is_open and role == "model" else f"<|turn>{role}\n"
        yield _body(message, position > asked)
        is_open = bool(message.tool_calls)
        yield "" if is_open else "<turn|>\n"
    if is_open:  # the model goes on behind the results of its calls
        yield "<|channel>thought\n" if turn.think and messages[-1].role == "tool" else ""
    else:
        yield "<|turn>model\n"
        yield "" if turn.think or not marks_no_thinking else "<|channel>thought\n<channel|>"


def _body(message: Message, is_current: bool) -> str:
    if message.role != "assistant":
        return message.content.strip()
    parts = []
    if message.thinking and is_current and message.tool_calls:
        parts.append(f"<|channel>thought\n{message.thinking}\n<channel|>")
    parts.append(_without_thoughts(message.content))
    for call in message.tool_calls:
        parts.append(f"<|tool_call>call:{call.name}{{{members(call.arguments, MARK)}}}<tool_call|>")
    return "".join(parts)


def _without_thoughts(content: str) -> str:
    pieces = content.split("<channel|>")
    return "".join(piece.partition("<|channel>")[0] for piece in pieces).strip()


def _result(message: Message, messages: Sequence[Message]) -> str:
    name = tool_name(message, messages) or "unknown"
    return (
        f"<|tool_response>response:{name}{{value:{value(message.content, MARK)}}}<tool_response|>"
    )


small = partial(_render, marks_no_thinking=False)
large = partial(_render, marks_no_thinking=True)
