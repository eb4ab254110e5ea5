"""The renderers that models name."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyollama.chat.interface import Turn
from pyollama.chat.renderers import RENDERERS
from pyollama.types import Message, Tool, ToolCall

from .prompts import DIALOGUES, FILE

KEPT = json.loads(FILE.read_text())


def test_every_renderer_is_kept() -> None:
    assert set(KEPT) == set(RENDERERS)


@pytest.mark.parametrize("dialogue", DIALOGUES)
@pytest.mark.parametrize("name", RENDERERS)
def test_prompts(name: str, dialogue: str) -> None:
    prompt = RENDERERS[name](DIALOGUES[dialogue])
    assert prompt.replace(date.today().isoformat(), "TODAY") == KEPT[name][dialogue]


def test_effort() -> None:
    asked = (Message("developer", "Be kind."), Message("user", "Hi"), Message("system", "Late."))
    prompt = RENDERERS["qwen3.8"](Turn(asked, think="low"))
    assert prompt.startswith("<|im_start|>system\nReasoning effort is set to low.")
    assert "\n\nBe kind.\n\nLate.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n" in prompt
    assert "Reasoning effort is set to xhigh." in RENDERERS["qwen3.8"](Turn(asked, think="max"))
    assert "effort" not in RENDERERS["qwen3.8"](Turn(asked, think=True))
    glimmer = RENDERERS["glimmer"](Turn(asked, think="low"))
    assert "Late.\n\nReasoning strength: low." in glimmer


@pytest.mark.parametrize(
    ("name", "opened"),
    [("qwen3.5", "<think>\nHm"), ("qwen3-vl-thinking", "<think>\nHm"), ("laguna", "<think>\nHm")],
)
def test_begun_thinking_stays_open(name: str, opened: str) -> None:
    turn = Turn((Message("user", "Hi"), Message("assistant", thinking="Hm")), think=True)
    assert RENDERERS[name](turn).endswith(opened)


_VALUES = st.sampled_from(
    [None, True, 0, 1.5, "", "string", [], ["a"], [None, 1], {}, {"a": {"type": 3}}, {"b": "x"}]
)
_OBJECTS = st.dictionaries(
    st.sampled_from(["type", "properties", "required", "items", "enum", "description", "x"]),
    _VALUES,
    max_size=4,
)
_CALLS = st.builds(
    ToolCall, st.text(max_size=4), st.dictionaries(st.text(max_size=4), _VALUES, max_size=2)
)
_MESSAGES = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool", "developer"]),
    st.text(max_size=8),
    thinking=st.text(max_size=5),
    tool_calls=st.lists(_CALLS, max_size=2).map(tuple),
    tool_call_id=st.sampled_from(["", "a"]),
)


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(RENDERERS)),
    st.lists(_MESSAGES, max_size=5).map(tuple),
    st.lists(st.builds(Tool, st.text(max_size=4), st.text(max_size=4), _OBJECTS), max_size=2).map(
        tuple
    ),
    st.sampled_from([None, False, True, "low"]),
)
def test_anything_can_be_rendered(
    name: str, messages: tuple[Message, ...], tools: tuple[Tool, ...], think: bool | str | None
) -> None:
    turn = Turn(messages, tools, think)
    RENDERERS[name](turn)
    asked = (*messages, Message("user", "What is it?"))
    assert "What is it?" in RENDERERS[name](replace(turn, messages=asked))


def test_nemotron_is_switched_in_the_text() -> None:
    def asked(content: str, think: bool | str | None = True) -> str:
        return RENDERERS["nemotron-3-nano"](Turn((Message("user", content),), think=think))

    end = "<|im_end|>\n<|im_start|>assistant\n"
    assert asked("Hi /no_think").endswith(f"user\nHi{end}<think></think>")
    assert asked("/think Hi", think=False).endswith(f"user\nHi{end}<think>\n")
    assert asked("a </think> b").endswith(f"a </think> b{end}<think>\n")
    less = RENDERERS["nemotron-3.5-nano"](Turn((Message("user", "/no_think"),), think="medium"))
    assert "user\n/no_think\n\n{reasoning effort: efficient}<|im_end|>" in less
