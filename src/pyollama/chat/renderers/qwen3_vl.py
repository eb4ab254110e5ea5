"""The prompts of Qwen3-VL: ChatML, tools and calls as lines of JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from pyollama.chat.interface import Turn
from pyollama.chat.renderers import chatml
from pyollama.chat.renderers.jsontext import declaration, spaced
from pyollama.types import Message, Tool


def _tool_section(tools: Sequence[Tool]) -> str:
    lines = "".join(f"\n{spaced(declaration(tool))}" for tool in tools)
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n"
        f"<tools>{lines}\n</tools>\n\n"
        "For each function call, return a json object with function name and arguments within "
        "<tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    )


def _render(turn: Turn, *, thinks: bool) -> str:
    """``thinks`` holds where the turn leaves it open."""
    return "".join(_parts(turn, thinks if turn.think is None else bool(turn.think)))


def _parts(turn: Turn, thinks: bool) -> Iterator[str]:
    messages = turn.messages
    system = messages[0].content if messages and messages[0].role == "system" else ""
    if turn.tools:
        before = f"{system}\n\n" if system else ""
        yield chatml.turn("system", before + _tool_section(turn.tools))
    elif system:
        yield chatml.turn("system", system)
    query = chatml.last_query(messages)
    for is_tool, run in chatml.runs(messages):
        if is_tool:
            yield chatml.tool_responses(message for _, message in run)
            continue
        for position, message in run:
            if message.role == "assistant":
                is_last = position == len(messages) - 1
                yield from _answer(message, thinks and position > query, is_last)
            elif message.role != "system" or position:
                yield chatml.turn(message.role, message.content)
    if not chatml.begins_answer(messages):
        yield chatml.ANSWER + ("<think>\n" if thinks else "")


def _answer(message: Message, shows_thinking: bool, is_last: bool) -> Iterator[str]:
    yield chatml.ANSWER
    content = message.content
    if shows_thinking and (message.thinking or (is_last and not message.tool_calls)):
        yield "<think>\n" + message.thinking.strip("\n")
        if not content and is_last and not message.tool_calls:
            return  # it goes on thinking
        yield "\n</think>\n\n"
        content = content.lstrip("\n")
    yield content
    for number, call in enumerate(message.tool_calls):
        gap = "\n" if number or content else ""
        body = spaced({"name": call.name, "arguments": call.arguments})
        yield f"{gap}<tool_call>\n{body}\n</tool_call>"
    if message.tool_calls or not is_last:
        yield chatml.END


instruct = partial(_render, thinks=False)
thinking = partial(_render, thinks=True)
