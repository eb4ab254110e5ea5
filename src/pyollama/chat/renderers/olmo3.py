"""The prompts of OLMo 3: ChatML, calls as function calls of Python."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pyollama.chat.interface import Turn
from pyollama.chat.renderers import chatml
from pyollama.chat.renderers.jsontext import compact, declaration, spaced
from pyollama.types import Message, ToolCall

_HELPFUL = "You are a helpful function-calling AI assistant."
_BY_AI2 = (
    "You are Olmo, a helpful AI assistant built by Ai2. Your date cutoff is December 2024, and "
    "your model weights are available at https://huggingface.co/allenai."
)
_WITH_FUNCTIONS = (
    "You are provided with function signatures within <functions></functions> XML tags. You may "
    "call one or more functions to assist with the user query. Output any function calls within "
    "<function_calls></function_calls> XML tags. Do not make assumptions about what values to plug "
    "into functions."
)
_NO_FUNCTIONS = "You do not currently have access to any functions. <functions></functions>"


def _render(turn: Turn, *, default_system: str) -> str:
    return "".join(_parts(turn, default_system))


def _parts(turn: Turn, default_system: str) -> Iterator[str]:
    messages = turn.messages
    system = next((m.content for m in messages if m.role == "system"), "")
    functions = ""
    if turn.tools:
        listed = spaced([declaration(tool) for tool in turn.tools])
        functions = f"<functions>{listed}</functions>"
    rules = _WITH_FUNCTIONS if turn.tools else _NO_FUNCTIONS
    yield chatml.turn("system", (system or f"{default_system} {rules}") + functions)
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
    values = ", ".join(f"{name}={compact(call.arguments[name])}" for name in sorted(call.arguments))
    return f"{call.name}({values})"


def _think(turn: Turn, *, default_system: str) -> str:
    """The thinking models know no tools, and always think."""
    return "".join(_think_parts(turn, default_system))


def _think_parts(turn: Turn, default_system: str) -> Iterator[str]:
    system = next((m.content for m in turn.messages if m.role == "system"), "")
    yield chatml.turn("system", f"{system} {_NO_FUNCTIONS}" if system else default_system)
    for message in turn.messages:
        if message.role in ("user", "assistant"):
            yield chatml.turn(message.role, message.content)
    yield chatml.ANSWER + "<think>"


render = partial(_render, default_system=_HELPFUL)
render_3_1 = partial(_render, default_system=_BY_AI2)
think = partial(_think, default_system=_BY_AI2)
think_32b = partial(_think, default_system="You are a helpful AI assistant.")
