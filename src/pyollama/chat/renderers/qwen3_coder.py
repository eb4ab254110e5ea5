"""The prompts of Qwen3-Coder: ChatML with tools and calls in XML.

The wording of the tool section is the one the model was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence

from pyollama.chat.interface import Turn
from pyollama.types import JSON, Message, Tool, ToolCall

_DEFAULT_SYSTEM = (
    "You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks."
)
CALL_RULES = """

If you choose to call a function ONLY reply in the following format with NO suffix:

<tool_call>
<function=example_function_name>
<parameter=example_parameter_1>
value_1
</parameter>
<parameter=example_parameter_2>
This is the value for the second parameter
that can span
multiple lines
</parameter>
</function>
</tool_call>

<IMPORTANT>
Reminder:
- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested within <tool_call></tool_call> XML tags
- Required parameters MUST be specified
- You may provide optional reasoning for your function call in natural language BEFORE the function call, but NOT after
- If there is no function call available, answer the question like normal with your current knowledge and do not tell the user about function calls
</IMPORTANT>"""  # noqa: E501


def render(turn: Turn) -> str:
    return "".join(_parts(turn))


def _parts(turn: Turn) -> Iterator[str]:
    system = next((m.content for m in turn.messages if m.role == "system"), "")
    if system or turn.tools:
        yield f"<|im_start|>system\n{system or _DEFAULT_SYSTEM}{_tool_section(turn.tools)}"
        yield "<|im_end|>\n"
    messages = [message for message in turn.messages if message.role != "system"]
    for position, message in enumerate(messages):
        is_last = position == len(messages) - 1
        before = messages[position - 1] if position else None
        after = None if is_last else messages[position + 1]
        if message.role == "tool":
            yield from _result(message, before, after)
        elif message.role == "assistant" and message.tool_calls:
            yield f"<|im_start|>assistant\n{_calls(message)}<|im_end|>\n"
        else:
            yield f"<|im_start|>{message.role}\n{message.content}"
            yield "" if is_last and message.role == "assistant" else "<|im_end|>\n"
    if not messages or messages[-1].role != "assistant" or messages[-1].tool_calls:
        yield "<|im_start|>assistant\n"


def _result(message: Message, before: Message | None, after: Message | None) -> Iterator[str]:
    """Neighbouring results share one turn of the user."""
    yield "\n" if before is not None and before.role == "tool" else "<|im_start|>user\n"
    yield f"<tool_response>\n{message.content}\n</tool_response>"
    if after is None or after.role != "tool":
        yield "<|im_end|>\n"


def _calls(message: Message) -> str:
    text = f"{message.content}\n" if message.content else ""
    return text + "".join(f"\n{_call(call)}" for call in message.tool_calls)


def _call(call: ToolCall) -> str:
    values = "".join(
        f"<parameter={name}>\n{_plain(value)}\n</parameter>\n"
        for name, value in call.arguments.items()
    )
    return f"<tool_call>\n<function={call.name}>\n{values}</function>\n</tool_call>"


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# --- tools --------------------------------------------------------------------------------------


def _tool_section(tools: Sequence[Tool]) -> str:
    if not tools:
        return ""
    described = "".join(map(_tool, tools))
    return (
        "\n\n# Tools\n\nYou have access to the following functions:\n\n"
        f"<tools>{described}\n</tools>{CALL_RULES}"
    )


def _tool(tool: Tool) -> str:
    parameters = tool.parameters.get("properties")
    described = "".join(
        _parameter(name, schema)
        for name, schema in (parameters.items() if isinstance(parameters, Mapping) else ())
    )
    return (
        f"\n<function>\n<name>{tool.name}</name>"
        + (f"\n<description>{tool.description}</description>" if tool.description else "")
        + f"\n<parameters>{described}{_others(tool.parameters, ('type', 'properties'))}"
        + "\n</parameters>\n</function>"
    )


def _parameter(name: str, schema: object) -> str:
    if not isinstance(schema, Mapping):
        return f"\n<parameter>\n<name>{name}</name>\n</parameter>"
    kind = schema.get("type")
    description = schema.get("description")
    return (
        f"\n<parameter>\n<name>{name}</name>"
        + (f"\n<type>{_plain(kind)}</type>" if kind else "")
        + (f"\n<description>{description}</description>" if description else "")
        + _others(schema, ("name", "type", "description"))
        + "\n</parameter>"
    )


def _others(schema: Mapping[str, object] | JSON, known: Collection[str]) -> str:
    return "".join(
        f"\n<{key}>{_plain(value)}</{key}>" for key, value in schema.items() if key not in known
    )
