"""Dialogues whose prompts are kept in ``prompts.json``, to renew with ``python prompts.py``.

The plain ones and the first with tools have the shape of recorded requests to Ollama, and its
prompts were the same.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from pyollama.chat.interface import Turn
from pyollama.chat.renderers import RENDERERS
from pyollama.types import Message, Tool, ToolCall

FILE = Path(__file__).with_name("prompts.json")

_WEATHER = Tool(
    "get_weather",
    "get_weather tool",
    {
        "type": "object",
        "required": ["city", "days"],
        "properties": {
            "city": {"type": "string", "description": "city"},
            "days": {"type": "integer", "description": "days"},
        },
    },
)
_FIND = Tool(
    "find",
    "Finds <things> & more",
    {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["a", "b"]},
            "where": {
                "type": "object",
                "properties": {"x": {"type": ["number", "null"]}},
                "required": ["x"],
            },
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        },
    },
)
_TALK = (
    Message("system", "System text."),
    Message("user", "First question"),
    Message("assistant", "First answer", thinking="First thought"),
    Message("user", "Second question"),
)
_CALL = ToolCall("get_weather", {"city": "Oslo", "days": 2}, id="call_a1")
_OTHER = ToolCall("find", {"kind": "a", "where": {"x": None}, "tags": ["é", "<b>"]}, id="call_a2")

DIALOGUES = {
    "talk": Turn(_TALK, think=True),
    "talk without thinking": Turn(_TALK, think=False),
    "nothing said": Turn(()),
    "begun": Turn(
        (Message("system", "S."), Message("user", "Go"), Message("assistant", "Once upon")),
        think=True,
    ),
    "tools": Turn(
        (
            Message("system", "S."),
            Message("user", "Weather?"),
            Message("assistant", tool_calls=(_CALL,)),
            Message("tool", "rain", tool_name="get_weather", tool_call_id="call_a1"),
        ),
        (_WEATHER,),
        think=True,
    ),
    "two calls": Turn(
        (
            Message("user", "Weather?"),
            Message("assistant", "Wait.", thinking="Both.", tool_calls=(_CALL, _OTHER)),
            Message("tool", "rain", tool_call_id="call_a1"),
            Message("tool", "sun", tool_call_id="call_a2"),
            Message("assistant", "Rain and sun."),
            Message("user", "Thanks"),
        ),
        (_WEATHER, _FIND),
        think=False,
    ),
}


def prompts() -> dict[str, dict[str, str]]:
    return {
        name: {dialogue: render(turn) for dialogue, turn in DIALOGUES.items()}
        for name, render in RENDERERS.items()
    }


if __name__ == "__main__":
    text = json.dumps(prompts(), ensure_ascii=False, indent=1)
    FILE.write_text(text.replace(date.today().isoformat(), "TODAY") + "\n")
