"""The prompts of Qwen3.5 and the families that follow it: ChatML, tools as JSON, calls in XML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pyollama.chat.interface import Turn
from pyollama.chat.renderers import chatml
from pyollama.chat.renderers.jsontext import declaration, plain, spaced
from pyollama.chat.renderers.qwen3_coder import CALL_RULES
from pyollama.types import Message, Tool, ToolCall

_NO_THINKING = "<think>\n\n</think>\n\n"
_INSTRUCTS = ("system", "developer")
_HARD = (
    "Reasoning effort is set to xhigh. Please think carefully through the task, validate key "
    "assumptions, consider plausible alternatives, and prioritize correctness, consistency, and "
    "clarity in the final answer."
)
_EFFORTS: Mapping[bool | str | None, str] = {
    None: _HARD,
    "high": _HARD,
    "max": _HARD,
    "low": "Reasoning effort is set to low. Keep your thinking brief and focused, moving directly "
    "to the conclusion without unnecessary elaboration.",
}


def render(turn: Turn) -> str:
    return "".join(_parts(turn))


def ornith(turn: Turn) -> str:
    """The same with the thinking of all turns."""
    return "".join(_parts(turn, remembers=True))


def qwen3_8(turn: Turn) -> str:
    """One system turn for all instructions, which also says how hard to think."""
    said = (m.content.strip() for m in turn.messages if m.role in _INSTRUCTS)
    rest = (message for message in turn.messages if message.role not in _INSTRUCTS)
    folded = Message("system", "\n\n".join(filter(None, said)))
    turn = replace(turn, messages=(folded, *rest))
    return "".join(_parts(turn, remembers=True, effort=_EFFORTS.get(turn.think, "")))


def _parts(turn: Turn, *, remembers: bool = False, effort: str = "") -> Iterator[str]:
    messages = turn.messages
    system = messages[0].content.strip() if messages and messages[0].role == "system" else ""
    paragraphs = filter(None, (effort, _tool_section(turn.tools), system))
    if text := "\n\n".join(paragraphs):
        yield chatml.turn("system", text)
    query = -1 if remembers else chatml.last_query(messages)
    shows = remembers or turn.think is not False
    for is_tool, run in chatml.runs(messages):
        if is_tool:
            yield chatml.tool_responses(message for _, message in run)
            continue
        for position, message in run:
            if message.role == "assistant":
                yield from _answer(
                    message, shows and position > query, position == len(messages) - 1
                )
            elif message.role != "system" or position:
                yield chatml.turn(message.role, message.content.strip())
    if not chatml.begins_answer(messages):
        yield chatml.ANSWER + (_NO_THINKING if turn.think is False else "<think>\n")


def _answer(message: Message, shows_thinking: bool, is_last: bool) -> Iterator[str]:
    thinking, content = message.thinking, message.content.strip()
    if not thinking:
        thinking, content = chatml.split_thinking(content)
    begins = is_last and not message.tool_calls
    yield chatml.ANSWER
    if shows_thinking:
        yield f"<think>\n{thinking.strip()}"
        if begins and thinking and not content:
            return  # it goes on thinking
        yield "\n</think>\n\n"
    yield content
    for number, call in enumerate(message.tool_calls):
        yield ("\n" if number else "\n\n" if content else "") + _call(call)
    if not begins:
        yield chatml.END


def _call(call: ToolCall) -> str:
    values = "".join(
        f"<parameter={name}>\n{plain(value)}\n</parameter>\n"
        for name, value in call.arguments.items()
    )
    return f"<tool_call>\n<function={call.name}>\n{values}</function>\n</tool_call>"


def _tool_section(tools: Sequence[Tool]) -> str:
    if not tools:
        return ""
    lines = "".join(f"\n{spaced(declaration(tool))}" for tool in tools)
    return (
        "# Tools\n\nYou have access to the following functions:\n\n"
        f"<tools>{lines}\n</tools>{CALL_RULES}"
    )
