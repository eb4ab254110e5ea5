"""The prompts of OLMo 3: ChatML, calls as function calls of Python."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pyollama.chat.interface import Turn
from pyollama.chat.renderers import chatml
from pyollama.chat.renderers.jsontext import declaration, spaced
from pyollama.types import Message, ToolCall

_DEFAULT_SYSTEM = "You are a helpful function-calling AI assistant. "
_NO_FUNCTIONS = "You do not currently have access to any functions. <functions></functions>"


def render(turn: Turn) -> str:
    return "".join(_parts(turn))


def _parts(turn: Turn) -> Iterator[str]:
    messages = turn.messages
    system = next((m.content for m in messages if m.role == "system"), "")
    if turn.tools:
        functions = spaced([declaration(tool) for tool in turn.tools])
        text = f"{system or _DEFAULT_SYSTEM}<functions>{functions}</functions>"
    else:
        text = system or _DEFAULT_SYSTEM + _NO_FUNCTIONS
    yield chatml.turn("system", text)
    for position, message in enumerate(messages):
        if message.role == "assistant":
            is_last = position == len(messages) - 1
            yield chatml.ANSWER + _answer(message)
            yield "" if is_last and not message.tool_calls else chatml.END
        elif message.role != "system":
            role = "environment" if message.role == "tool" else message.role
            yield chatml.turn(role, message.content)
    if not chatml.begins_answer(messages):
        yield chatml.ANSWER


def _answer(message: Message) -> str:
    if not message.tool_calls:
        return message.content
    calls = "\n".join(map(_call, message.tool_calls))
    return f"{message.content}<function_calls>{calls}</function_calls>"


def _call(call: ToolCall) -> str:
    values = ", ".join(f"{name}={spaced(value)}" for name, value in call.arguments.items())
    return f"{call.name}({values})"


def _think(turn: Turn, *, default_system: str) -> str:
    """The thinking models know no tools, and always think."""
    return "".join(_think_parts(turn, default_system))


def _think_parts(turn: Turn, default_system: str) -> Iterator[str]:
    system = next((m.content for m in turn.messages if m.role == "system"), default_system)
    yield chatml.turn("system", f"{system} {_NO_FUNCTIONS}")
    for message in turn.messages:
        if message.role in ("user", "assistant"):
            yield chatml.turn(message.role, message.content)
    yield chatml.ANSWER + "<think>"


think = partial(_think, default_system="You are OLMo, a helpful assistant.")
