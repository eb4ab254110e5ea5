"""The prompts of Nemotron 3 Nano: ChatML, tools and calls in XML, thinking unless told not to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import msgspec

from pyollama.chat.interface import Turn
from pyollama.chat.renderers import chatml
from pyollama.chat.renderers.jsontext import spaced, spaced_plain
from pyollama.chat.renderers.qwen3_coder import CALL_RULES
from pyollama.types import Message, Tool, ToolCall

_NO_THINKING = "<think></think>"
_SWITCH = re.compile(r"(?<!<)/think|/no_think")
_LESS = "\n\n{reasoning effort: efficient}"


def nano_3(turn: Turn) -> str:
    """Who asks may write ``/think`` and ``/no_think`` into a text."""
    messages = tuple(
        msgspec.structs.replace(message, content=_without_switches(message))
        for message in turn.messages
    )
    return "".join(_parts(replace(turn, messages=messages), thinks(turn), "\n"))


def nano_3_5(turn: Turn) -> str:
    if turn.think == "medium":
        asked = max((at for at, m in enumerate(turn.messages) if m.role == "user"), default=-1)
        messages = tuple(
            msgspec.structs.replace(message, content=message.content + _LESS * (at == asked))
            for at, message in enumerate(turn.messages)
        )
        turn = replace(turn, messages=messages)
    return "".join(_parts(turn, turn.think is not False, ""))


def thinks(turn: Turn) -> bool:
    """Whether Nemotron 3 is to think: the last switch in a text counts more than the request."""
    switches = [
        "/think" in message.content.replace("</think>", "")
        for message in turn.messages
        if message.role in ("system", "user") and _SWITCH.search(message.content)
    ]
    return switches[-1] if switches else turn.think is not False


def _without_switches(message: Message) -> str:
    if message.role not in ("system", "user"):
        return message.content
    text = _SWITCH.sub("", message.content)
    return text.strip() if message.role == "user" else text


def _parts(turn: Turn, thinks: bool, gap: str) -> Iterator[str]:
    """``gap`` stands around the end of thinking."""
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
    yield chatml.ANSWER + ("<think>\n" if thinks else _NO_THINKING)


def _answer(message: Message, is_past: bool, gap: str) -> str:
    thinking, content = message.thinking, message.content
    if not thinking:
        thinking, content = chatml.split_thinking(content)
    if not thinking.strip():
        text = _NO_THINKING + content
    elif is_past:
        text = _NO_THINKING + gap + content
    else:
        text = f"<think>\n{thinking}{gap}</think>{gap}{content}"
    text = text.strip()
    if not message.tool_calls:
        return text
    if is_past:
        text = text.replace(f"{_NO_THINKING}\n", _NO_THINKING, 1)
    calls = "".join(map(_call, message.tool_calls))
    return f"{text}\n{calls}"


def _call(call: ToolCall) -> str:
    values = "".join(
        f"<parameter={name}>\n{_python(value)}\n</parameter>\n"
        for name, value in call.arguments.items()
    )
    return f"<tool_call>\n<function={call.name}>\n{values}</function>\n</tool_call>\n"


def _python(value: object) -> str:
    """Constants as Python writes them, everything else as elsewhere."""
    return str(value) if value is None or isinstance(value, bool) else spaced_plain(value)


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
        + (f"\n<type>{kind}</type>" if kind else "")
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
