"""The prompts of Nemotron 3 Nano: ChatML, tools and calls in XML, thinking unless told not to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pyollama.chat.interface import Turn
from pyollama.chat.renderers import chatml
from pyollama.chat.renderers.jsontext import spaced, spaced_plain
from pyollama.chat.renderers.qwen3_coder import CALL_RULES
from pyollama.types import Message, Tool, ToolCall

_NO_THINKING = "<think></think>"


def _render(turn: Turn, *, gap: str) -> str:
    """``gap`` stands between thinking that is cut out and its answer."""
    return "".join(_parts(turn, gap))


def _parts(turn: Turn, gap: str) -> Iterator[str]:
    messages = list(turn.messages)
    system = messages.pop(0).content if messages and messages[0].role == "system" else ""
    yield chatml.turn("system", "\n\n".join(filter(None, (system, _tool_section(turn.tools)))))
    asked = max((at for at, m in enumerate(messages) if m.role == "user"), default=-1)
    for is_tool, run in chatml.runs(messages):
        if is_tool:
            results = (f"<tool_response>\n{m.content}\n</tool_response>\n" for _, m in run)
            yield chatml.turn("user", "".join(results))
            continue
        for position, message in run:
            if message.role == "assistant":
                yield chatml.turn("assistant", _answer(message, position < asked, gap))
            else:
                yield chatml.turn(message.role, message.content)
    yield chatml.ANSWER + (_NO_THINKING if turn.think is False else "<think>\n")


def _answer(message: Message, is_past: bool, gap: str) -> str:
    thinking, content = message.thinking, message.content
    if not thinking:
        thinking, content = chatml.split_thinking(content)
    if not thinking.strip():
        text = _NO_THINKING + content
    elif is_past:
        text = _NO_THINKING + gap + content
    else:
        text = f"<think>\n{thinking}\n</think>\n{content}"
    text = text.strip()
    if not message.tool_calls:
        return text
    calls = "".join(map(_call, message.tool_calls))
    return f"{text}\n{calls}"


def _call(call: ToolCall) -> str:
    values = "".join(
        f"<parameter={name}>\n{spaced_plain(value)}\n</parameter>\n"
        for name, value in call.arguments.items()
    )
    return f"<tool_call>\n<function={call.name}>\n{values}</function>\n</tool_call>\n"


def _tool_section(tools: tuple[Tool, ...]) -> str:
    if not tools:
        return ""
    described = "".join(map(_tool, tools))
    return (
        "# Tools\n\nYou have access to the following functions:\n\n"
        f"<tools>{described}\n</tools>{CALL_RULES}"
    )


def _tool(tool: Tool) -> str:
    properties = tool.parameters.get("properties")
    described = "".join(
        _parameter(name, schema)
        for name, schema in (properties.items() if isinstance(properties, dict) else ())
    )
    required = tool.parameters.get("required")
    return (
        f"\n<function>\n<name>{tool.name}</name>"
        + (f"\n<description>{tool.description.strip()}</description>" if tool.description else "")
        + f"\n<parameters>{described}"
        + _others(tool.parameters, ("type", "properties", "required"))
        + (f"\n<required>{spaced(required)}</required>" if required else "")
        + "\n</parameters>\n</function>"
    )


def _parameter(name: str, schema: object) -> str:
    if not isinstance(schema, dict):
        return f"\n<parameter>\n<name>{name}</name>\n</parameter>"
    kind, description, choices = (schema.get(key) for key in ("type", "description", "enum"))
    return (
        f"\n<parameter>\n<name>{name}</name>"
        + (f"\n<type>{spaced_plain(kind)}</type>" if kind else "")
        + (f"\n<description>{str(description).strip()}</description>" if description else "")
        + (f"\n<enum>{spaced(choices)}</enum>" if choices else "")
        + _others(schema, ("name", "type", "description", "enum"))
        + "\n</parameter>"
    )


def _others(schema: dict[str, object], known: tuple[str, ...]) -> str:
    return "".join(
        f"\n<{key}>{spaced_plain(value)}</{key}>"
        for key, value in schema.items()
        if key not in known
    )


nano_3 = partial(_render, gap="\n")
nano_3_5 = partial(_render, gap="")
