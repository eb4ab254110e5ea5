"""The prompts of Laguna: turns between tags, in an older and a newer spelling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyollama.chat.interface import Turn
from pyollama.chat.renderers.chatml import begins_answer, split_thinking
from pyollama.chat.renderers.jsontext import declaration, spaced, spaced_plain
from pyollama.types import Message, Tool, ToolCall

_BEGIN = "〈|EOS|〉"
_DEFAULT_SYSTEM = (
    "You are a helpful, conversationally-fluent assistant made by Poolside. You are here to be "
    "helpful to users through natural language conversations."
)
_CALL_RULES = (
    "For each function call, return an unescaped XML-like object with function name and "
    "arguments within '<tool_call>' and '</tool_call>' tags, like here:\n"
)
_THINKING_RULES = (
    "Wrap your thinking in '<think>', '</think>' tags, followed by a function call. "
    + _CALL_RULES
    + "<think> your thoughts here </think>\n"
)
_EXAMPLE = (
    "<tool_call>function-name\n<arg_key>argument-key</arg_key>\n"
    "<arg_value>value-of-argument-key</arg_value>\n</tool_call>"
)


def _tools(tools: Sequence[Tool]) -> str:
    lines = "".join(f"{spaced(declaration(tool))}\n" for tool in tools)
    return (
        "### Tools\n\nYou may call functions to assist with the user query.\n"
        f"All available function signatures are listed below:\n<available_tools>\n{lines}"
        "</available_tools>"
    )


def _split(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    """The system text at the beginning, and the rest."""
    if messages and messages[0].role == "system":
        return messages[0].content.rstrip(), messages[1:]
    return _DEFAULT_SYSTEM, messages


def laguna(turn: Turn) -> str:
    """Tags on lines of their own."""
    return "".join(_old_parts(turn))


def _old_parts(turn: Turn) -> Iterator[str]:
    system, messages = _split(turn.messages)
    yield _BEGIN
    if system or turn.tools:
        yield "<system>\n" + (f"\n{system}" if system else "")
        if turn.tools:
            rules = _THINKING_RULES if turn.think else _CALL_RULES
            yield f"\n\n{_tools(turn.tools)}\n\n{rules}{_EXAMPLE}"
        yield "\n</system>\n"
    for position, message in enumerate(messages):
        if message.role == "assistant":
            begins = position == len(messages) - 1 and not message.tool_calls
            yield "<assistant>\n" + _old_answer(message, begins)
            yield "" if begins else "</assistant>\n"
        elif message.role == "tool":
            yield f"<tool_response>\n{message.content}\n</tool_response>\n"
        else:
            yield f"<{message.role}>\n{message.content}\n</{message.role}>\n"
    if not begins_answer(messages):
        yield "<assistant>\n" + ("<think>" if turn.think else "</think>")


def _old_answer(message: Message, begins: bool) -> str:
    thinking, content = split_thinking(message.content)
    thinking = (message.thinking or thinking).strip()
    content = content.strip()
    if begins and thinking and not content:
        return f"<think>\n{thinking}"  # it goes on thinking
    return (
        (f"<think>\n{thinking}\n</think>\n" if thinking else "</think>\n")
        + (f"{content}\n" if content else "")
        + "".join(f"{_call(call, chr(10))}\n" for call in message.tool_calls)
    )


def poolside(turn: Turn) -> str:
    """The same without line breaks."""
    return "".join(_new_parts(turn))


def _new_parts(turn: Turn) -> Iterator[str]:
    system, messages = _split(turn.messages)
    yield _BEGIN
    if system or turn.tools or turn.think:
        described = _tools(turn.tools) if turn.tools else ""
        yield f"<system>{system}{chr(10) * 2 if system and described else ''}{described}</system>\n"
    for message in messages:
        if message.role == "assistant":
            yield f"<assistant>{_new_answer(message, bool(turn.think))}</assistant>\n"
        elif message.role == "tool":
            yield f"<tool_response>{message.content}</tool_response>\n"
        else:
            yield f"<{message.role}>{message.content}</{message.role}>\n"
    yield "<assistant>" + ("<think>" if turn.think else "</think>")


def _new_answer(message: Message, thinks: bool) -> str:
    thinking = f"<think>{message.thinking}</think>" if thinks else "</think>"
    return thinking + message.content + "".join(_call(call, "") for call in message.tool_calls)


def _call(call: ToolCall, gap: str) -> str:
    pairs = "".join(
        f"<arg_key>{key}</arg_key>{gap}<arg_value>{spaced_plain(value)}</arg_value>{gap}"
        for key, value in call.arguments.items()
    )
    return f"<tool_call>{call.name}{gap}{pairs}</tool_call>"
