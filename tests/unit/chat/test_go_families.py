"""Templates in the shapes of all families against answers of Go's own package (``gofamilies/``)."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from pyollama.chat.gotemplates import GoTemplate
from pyollama.errors import TemplateError
from pyollama.types import Message, Tool, ToolCall

from .gofamilies.families import DIALOGUES, FOLDER, OLD_DIALOGUES, TEMPLATES, cases

# The types have other names there.
_TYPE = re.compile(r"in type \S+")


def _kept() -> dict[tuple[str, str], dict[str, Any]]:
    lines = (FOLDER / "corpus.jsonl").read_text().splitlines()
    answers = [json.loads(line) for line in lines]
    return {(answer["family"], answer["dialogue"]): answer for answer in answers}


_KEPT = _kept()


def _message(data: dict[str, Any]) -> Message:
    calls = [
        ToolCall(
            call["function"]["name"],
            call["function"]["arguments"],
            id=call["id"],
            index=call["function"]["index"],
        )
        for call in data.get("tool_calls", [])
    ]
    return Message(
        data["role"],
        data["content"],
        thinking=data.get("thinking", ""),
        images=tuple(base64.b64decode(image) for image in data.get("images", [])),
        tool_calls=tuple(calls),
        tool_name=data.get("tool_name", ""),
        tool_call_id=data.get("tool_call_id", ""),
    )


def _tool(data: dict[str, Any]) -> Tool:
    function = data["function"]
    return Tool(
        function["name"], function.get("description", ""), function["parameters"], data["type"]
    )


def _answer(family: str, dialogue: dict[str, Any]) -> str:
    template, think = GoTemplate.parse(TEMPLATES[family]), dialogue.get("think")
    if "suffix" in dialogue:
        return template.render_insert(dialogue["prompt"], dialogue["suffix"], think)
    messages = [_message(each) for each in dialogue["messages"]]
    return template.render(messages, [_tool(each) for each in dialogue.get("tools", [])], think)


def test_there_are_enough() -> None:
    assert set(_KEPT) == {(family, name) for family, name, _ in cases()}
    assert len(_KEPT) >= 600
    assert set(TEMPLATES) == {family for family, _ in _KEPT}


@pytest.mark.parametrize("family", TEMPLATES)
def test_answers_of_go(family: str) -> None:
    dialogues = DIALOGUES if ".Messages" in TEMPLATES[family] else OLD_DIALOGUES
    for name, dialogue in dialogues.items():
        kept = _KEPT.get((family, name))
        if kept is None:
            continue
        if "error" not in kept:
            assert _answer(family, dialogue) == kept["output"], name
            continue
        with pytest.raises(TemplateError) as caught:
            _answer(family, dialogue)
        assert _TYPE.sub("T", caught.value.message) == _TYPE.sub("T", kept["error"]), name
