"""Models that name a renderer and a parser, from the request to the answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.world import SCRIPTS, World, make_world
from tests.unit.server.asgi import Exchange

from pyollama.types import Grammar

_ANSWERS = {
    "@gemma": (
        "<|channel>thou",
        "ght\nRain",
        "?\n<channel|>",
        '<|tool_call>call:weather{city:<|"|>',
        'Rome<|"|>,days:2}<tool_call|>',
    ),
    "@qwen": ("Let me", " see.\n</th", "ink>\n\n", "Forty-two."),
}
_WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    for cue, answer in _ANSWERS.items():
        monkeypatch.setitem(SCRIPTS, cue, answer)
    made = make_world(tmp_path)
    yield made
    await made.pool.close()


async def _post(world: World, path: str, **body: Any) -> tuple[int, Any]:
    data = json.dumps({"stream": False, **body}).encode()
    done = await Exchange("POST", path, {"host": "localhost"}, data).run(world.app)
    return done.status, json.loads(done.content)


async def _create(world: World, family: str) -> None:
    names = {"renderer": family, "parser": family}
    status, _ = await _post(world, "/api/create", model="m", **{"from": "chat", **names})
    assert status == 200


async def _chat(world: World, text: str, **body: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    status, answer = await _post(world, "/api/chat", model="m", messages=messages, **body)
    assert status == 200, answer
    message: dict[str, Any] = answer["message"]
    return message


def _prompts(world: World) -> list[str]:
    return [bytes(request.tokens).decode() for request in world.engines[0].requests]


async def test_thinking_and_a_call(world: World) -> None:
    await _create(world, "gemma4")
    message = await _chat(world, "Weather? @gemma", tools=[_WEATHER])
    assert message["thinking"] == "Rain?"
    assert message["content"] == ""
    (call,) = message["tool_calls"]
    assert call["function"] == {
        "index": 0,
        "name": "weather",
        "arguments": {"city": "Rome", "days": 2},
    }
    assert "thinking" not in await _chat(world, "@gemma", think=False)
    first, second = _prompts(world)
    assert first.startswith("<bos><|turn>system\n<|think|>\n<|tool>declaration:weather{")
    assert second == "<bos><|turn>user\n@gemma<turn|>\n<|turn>model\n"


async def test_an_answer_in_a_format_follows_the_thinking(world: World) -> None:
    await _create(world, "qwen3.5")
    message = await _chat(world, "@qwen", format="json")
    assert message["thinking"] == "Let me see."
    first, second = world.engines[0].requests
    assert first.sampling.grammar is None
    assert second.sampling.grammar == Grammar(kind="json")
    before, after = _prompts(world)
    assert after == f"{before}Let me see.\n</think>\n\n"


async def test_capabilities_are_those_of_the_parser(world: World) -> None:
    await _create(world, "olmo3-think")
    _, shown = await _post(world, "/api/show", model="m")
    assert shown["capabilities"] == ["completion", "thinking"]
    assert (shown["renderer"], shown["parser"]) == ("olmo3-think", "olmo3-think")
    assert "\nRENDERER olmo3-think\nPARSER olmo3-think\n" in shown["modelfile"]


@pytest.mark.parametrize("kind", ["renderer", "parser"])
async def test_unknown_names_are_refused(world: World, kind: str) -> None:
    body = {"model": "m", "from": "chat", kind: "from-tomorrow"}
    answer = await _post(world, "/api/create", **body)
    assert answer == (400, {"error": f'unknown {kind} "from-tomorrow"'})
