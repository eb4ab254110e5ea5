"""The prompts of GLM-4.7 and GLM-OCR."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyollama.chat.interface import Turn
from pyollama.chat.renderers.jsontext import declaration, plain, spaced
from pyollama.types import Message, Tool, ToolCall


def _tool_section(tools: Sequence[Tool]) -> str:
    if not tools:
        return ""
    lines = "".join(f"{spaced(declaration(tool))}\n" for tool in tools)
    pair = "<arg_key>{{arg-key-{0}}}</arg_key><arg_value>{{arg-value-{0}}}</arg_value>"
    return (
        "<|system|>\n# Tools\n\nYou may call one or more functions to assist with the user query."
        "\n\nYou are provided with function signatures within <tools></tools> XML tags:\n"
        f"<tools>\n{lines}</tools>\n\nFor each function call, output the function name and "
        "arguments within the following XML format:\n"
        f"<tool_call>{{function-name}}{pair.format(1)}{pair.format(2)}...</tool_call>"
    )


def glm_4_7(turn: Turn) -> str:
    return "".join(_glm_4_7(turn))


def glm_ocr(turn: Turn) -> str:
    """Every part on a line of its own."""
    return "".join(_glm_ocr(turn))


def _glm_4_7(turn: Turn) -> Iterator[str]:
    yield "[gMASK]<sop>" + _tool_section(turn.tools)
    before = ""
    for message in turn.messages:
        if message.role == "tool":
            yield "" if before == "tool" else "<|observation|>"
            yield f"<tool_response>{message.content}</tool_response>"
        elif message.role == "assistant":
            thinking = message.thinking.strip()
            yield "<|assistant|>" + (f"<think>{thinking}</think>" if thinking else "</think>")
            yield message.content + "".join(map(_call, message.tool_calls))
        else:
            yield f"<|{message.role}|>{message.content}"
        before = message.role
    yield "<|assistant|>" + ("</think>" if turn.think is False else "<think>")


def _glm_ocr(turn: Turn) -> Iterator[str]:
    yield "[gMASK]<sop>" + _tool_section(turn.tools)
    before = ""
    for message in turn.messages:
        if message.role == "tool":
            yield "" if before == "tool" else "<|observation|>"
            yield f"\n<tool_response>\n{message.content}\n</tool_response>\n"
        elif message.role == "assistant":
            yield "<|assistant|>\n" + _ocr_answer(message)
        elif message.role == "user":
            off = turn.think is False and not message.content.endswith("/nothink")
            yield f"<|user|>\n{message.content}{'/nothink' if off else ''}"
        else:
            yield f"<|{message.role}|>\n{message.content}\n"
        before = message.role
    yield "<|assistant|>\n" + ("<think></think>\n" if turn.think is False else "")


def _ocr_answer(message: Message) -> str:
    content = message.content.strip()
    return (
        f"<think>{message.thinking.strip()}</think>\n"
        + (f"{content}\n" if content else "")
        + "".join(f"{_call(call)}\n" for call in message.tool_calls)
    )


def _call(call: ToolCall) -> str:
    pairs = "".join(
        f"<arg_key>{key}</arg_key><arg_value>{plain(value)}</arg_value>"
        for key, value in call.arguments.items()
    )
    return f"<tool_call>{call.name}{pairs}</tool_call>"
