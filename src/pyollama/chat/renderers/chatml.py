"""The frame of ChatML, which many families fill in their own ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from pyollama.types import Message

ANSWER = "<|im_start|>assistant\n"
END = "<|im_end|>\n"


def turn(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{text}{END}"


def runs(messages: Sequence[Message]) -> Iterable[tuple[bool, list[tuple[int, Message]]]]:
    """Neighbouring results of tools together: whether it is they, and messages by position."""
    by_role = groupby(enumerate(messages), lambda item: item[1].role == "tool")
    return ((is_tool, list(run)) for is_tool, run in by_role)


def tool_responses(messages: Iterable[Message]) -> str:
    """Results of tools in one turn of the user."""
    return turn(
        "user",
        "\n".join(f"<tool_response>\n{each.content}\n</tool_response>" for each in messages),
    )


def begins_answer(messages: Sequence[Message]) -> bool:
    """Whether the last message is the beginning of the answer."""
    return bool(messages) and messages[-1].role == "assistant" and not messages[-1].tool_calls


def last_query(messages: Sequence[Message]) -> int:
    """The position of the last message in which the user asks something."""
    for position in range(len(messages) - 1, -1, -1):
        content = messages[position].content.strip()
        is_result = content.startswith("<tool_response>") and content.endswith("</tool_response>")
        if messages[position].role == "user" and not is_result:
            return position
    return len(messages) - 1


def split_thinking(content: str) -> tuple[str, str]:
    """Thinking that stands in the text of an answer, and the answer."""
    before, closing, after = content.rpartition("</think>")
    if not closing:
        return "", content
    thinking = before.partition("</think>")[0].rpartition("<think>")[2]
    return thinking.strip("\n"), after.lstrip("\n")
