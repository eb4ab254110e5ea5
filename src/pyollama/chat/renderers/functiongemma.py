"""The prompts of FunctionGemma."""

from __future__ import annotations

from collections.abc import Iterator

from pyollama.chat.interface import Turn
from pyollama.chat.renderers.gemmavalues import declaration, members, value
from pyollama.chat.renderers.results import tool_name
from pyollama.types import Message, Tool

MARK = "<escape>"
_WITH_FUNCTIONS = "You can do function calling with the following functions:"


def render(turn: Turn) -> str:
    return "".join(_parts(turn))


def _parts(turn: Turn) -> Iterator[str]:
    messages = list(turn.messages)
    system = ""
    if messages and messages[0].role in ("system", "developer"):
        system = messages.pop(0).content.strip()
    yield "<bos>"
    if system or turn.tools:
        yield f"<start_of_turn>developer\n{system}{_tool_section(turn.tools, system)}"
        yield "<end_of_turn>\n"
    is_open = False  # whether a turn of the model goes on
    for message in messages:
        if message.role == "tool":
            name = tool_name(message, messages) or "unknown"
            response = f"response:{name}{{{value(message.content, MARK)}}}"
            yield f"<start_function_response>{response}<end_function_response>"
            continue
        role = "model" if message.role == "assistant" else message.role
        yield "" if is_open and role == "model" else f"<start_of_turn>{role}\n"
        yield message.content.strip() + _calls(message)
        is_open = bool(message.tool_calls)
        yield "" if is_open else "<end_of_turn>\n"
    yield "" if is_open else "<start_of_turn>model\n"


def _calls(message: Message) -> str:
    return "".join(
        f"<start_function_call>call:{call.name}{{{members(call.arguments, MARK)}}}"
        "<end_function_call>"
        for call in message.tool_calls
    )


def _tool_section(tools: tuple[Tool, ...], system: str) -> str:
    if not tools:
        return ""
    declared = (declaration(tool, MARK, describes_all=True) for tool in tools)
    return (
        ("\n" if system else "")
        + _WITH_FUNCTIONS
        + "".join(
            f"<start_function_declaration>{each}<end_function_declaration>" for each in declared
        )
    )
