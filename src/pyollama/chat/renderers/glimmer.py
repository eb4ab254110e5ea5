"""The prompts of Muse Glimmer: messages with a recipient, calls in XML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date

from pyollama.chat.interface import Turn
from pyollama.chat.renderers.jsontext import parameters, spaced, spaced_plain
from pyollama.chat.renderers.results import tool_name
from pyollama.types import Message, Tool, ToolCall

_DEFAULT_SYSTEM = "You are a helpful AI assistant.\nKnowledge cutoff: 2026-01-04.\nCurrent date: "
_EFFORT = re.compile("reasoning effort", re.IGNORECASE)
_TOOLS_BEGIN = """In this environment you have access to a set of tools you can use to answer the user's question.

You can invoke a function by writing a "<atem:function_calls>" block like the following:
<atem:function_calls>
<atem:invoke name="$FUNCTION_NAME">
<atem:parameter name="$PARAMETER_NAME">$PARAMETER_VALUE</atem:parameter>
...
</atem:invoke>
</atem:function_calls>

String and scalar parameters should be specified as is, while lists and objects should use JSON format. Note that spaces for string values are not stripped. The output is not expected to be valid XML and is parsed with regular expressions.
Here are the functions available in JSONSchema format:
// Tool metadata
"""  # noqa: E501
_TOOLS_END = """

Here's an example of how to call a function in the tool set:
(If the tool namespace is not specified, invoke the function directly as `example_function_name` rather than `example_tool_name.example_function_name`)

to=example_tool_name.example_function_name

<atem:function_calls>
<atem:invoke name="example_tool_name.example_function_name">
<atem:parameter name="example_parameter_1">value_1</atem:parameter>
<atem:parameter name="example_parameter_2">This is the value for the second parameter
that can span
"multiple" lines
</atem:parameter>
</atem:invoke>
</atem:function_calls>"""  # noqa: E501


def render(turn: Turn) -> str:
    return "".join(_parts(turn))


def _parts(turn: Turn) -> Iterator[str]:
    messages = list(turn.messages)
    yield "<|begin_of_text|>"
    if not any(message.role == "system" for message in messages):
        messages.insert(0, Message("system", f"{_DEFAULT_SYSTEM}{date.today()}."))
    for position, message in enumerate(messages):
        follows = messages[position + 1].role if position + 1 < len(messages) else ""
        if message.role == "system":
            yield f"<|start|>system<|message|>{_system(message.content, turn)}<|eot|>"
        elif message.role == "assistant":
            yield from _answer(message, "<|eom|>" if follows == "assistant" else "<|eot|>")
        elif message.role == "tool":
            name = tool_name(message, messages) or message.tool_call_id
            output = f'<tool_output name="{name}">\n{message.content}\n</tool_output>'
            yield f"<|start|>tool {name}<|message|>{output}<|eot|>"
        else:
            yield f"<|start|>{message.role}<|message|>{message.content}<|eot|>"
    yield "<|start|>assistant"


def _system(content: str, turn: Turn) -> str:
    strength = turn.think if isinstance(turn.think, str) else "high"
    if turn.think is False:
        strength = "none"
    spaces = _namespaces(turn.tools)
    recipients = ", ".join(f'"{name}"' for name in ("self", *(f"{s}.*" for s in spaces), "user"))
    content = _EFFORT.sub(_as_strength, content)
    parts = [content]
    if "reasoning strength" not in content.lower():
        parts.append(f"Reasoning strength: {strength}.")
    if turn.tools:
        parts.append(_tool_section(turn.tools, spaces))
    return "\n\n".join((*parts, f"# Valid recipients: {recipients}."))


def _as_strength(effort: re.Match[str]) -> str:
    """The model's own word, in the case of the text."""
    word = "STRENGTH" if effort[0].isupper() else "Strength" if effort[0][10] == "E" else "strength"
    return effort[0][:10] + word


def _namespaces(tools: Sequence[Tool]) -> list[str]:
    """What stands before the dot in the names of tools."""
    return list(dict.fromkeys(tool.name.partition(".")[0] for tool in tools))


def _tool_section(tools: Sequence[Tool], spaces: Sequence[str]) -> str:
    named = "".join(f"{spaced({'name': space, 'description': ''})}\n" for space in spaces)
    schemas = "".join(
        "\n"
        + spaced(
            {"name": tool.name, "description": tool.description, "parameters": parameters(tool)}
        )
        for tool in tools
    )
    return f"{_TOOLS_BEGIN}{named}// Function schemas{schemas}{_TOOLS_END}"


def _answer(message: Message, end: str) -> Iterator[str]:
    if message.thinking:
        yield f"<|start|>assistant to=self<|message|>{message.thinking}<|eom|>"
    for number, call in enumerate(message.tool_calls, 1):
        yield f"<|start|>assistant to={call.name}<|message|>{_call(call)}"
        yield end if number == len(message.tool_calls) else "<|eom|>"
    if not message.tool_calls and (message.content or not message.thinking):
        yield f"<|start|>assistant to=user<|message|>{message.content}<|eot|>"


def _call(call: ToolCall) -> str:
    values = "".join(
        f'<atem:parameter name="{name}">{spaced_plain(value)}</atem:parameter>\n'
        for name, value in call.arguments.items()
    )
    invoked = f'<atem:invoke name="{call.name}">\n{values}</atem:invoke>'
    return f"<atem:function_calls>\n{invoked}\n</atem:function_calls>"
