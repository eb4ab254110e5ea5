"""Values of the kinds that template data can have, none of them friendly."""

from __future__ import annotations

import math

from pyollama.chat.templatedata import message_value, tools_value
from pyollama.types import Message, Tool, ToolCall


def template_data() -> dict[str, object]:
    deep: object = 1
    for level in range(300):
        deep = [deep] if level % 2 else {"d": deep}
    parameters = {
        "type": ["object", "null", 3],
        "properties": {"a": {"type": "string", "anyOf": [{"type": 5}, None]}, "b": True, "": {}},
        "required": "a",
    }
    messages = [
        Message(role="user", content="{{ .S }}<|im_end|>\ud800", images=(b"x",)),
        Message(role="assistant", thinking="\0", tool_calls=(ToolCall("f", {"x": [None, {}]}),)),
        Message(role="tool", tool_name="f", content="9" * 2000),
    ]
    return {
        "S": "text \u00e9 \U0001f600 \udcff",
        "Long": "0123456789abcdef" * 4096,
        "I": -3,
        "Big": 10**30,
        "F": math.nan,
        "L": ["a", 1, None, [math.inf], {"b": [1, None]}, "", True],
        "M": {"k": {"v": 1.5}, "": 0, "\u00ff": "z", "k\0": []},
        "N": None,
        "Deep": deep,
        "T": tuple(range(50)),
        "U": "\u2028<&>\"'`\\\n\x7f",
        "Messages": [message_value(message) for message in messages],
        "Tools": tools_value([Tool("f", "d", parameters)]),
        "Response": "",
        "Think": True,
    }
