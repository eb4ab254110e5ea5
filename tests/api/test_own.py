"""Our own routes, and what is counted beyond Ollama's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.api.world import World, make_world
from tests.unit.server.asgi import Exchange

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = make_world(tmp_path)
    yield world
    await world.pool.close()


def exchange(path: str, body: Any = None, method: str = "POST", **headers: str) -> Exchange:
    data = json.dumps(body).encode() if body is not None else b""
    return Exchange(method, path, {"host": "localhost", **headers}, data)


async def ask(world: World, path: str, body: Any = None, method: str = "POST") -> tuple[int, Any]:
    done = await exchange(path, body, method).run(world.app)
    return done.status, json.loads(done.content) if done.content else None


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def test_tokens_and_back(world: World) -> None:
    status, found = await ask(world, "/api/tokenize", {"model": "chat", "text": "hé"})
    assert status == 200
    assert found["tokens"] == list("hé".encode()) and found["count"] == 3
    assert found["pieces"] == ["h", "\ufffd", "\ufffd"]
    back = await ask(world, "/api/detokenize", {"model": "chat", "tokens": found["tokens"]})
    assert back == (200, {"model": "chat", "text": "hé"})


@pytest.mark.parametrize("token", [-1, 256, 1 << 40])
async def test_tokens_that_do_not_exist(world: World, token: int) -> None:
    status, found = await ask(world, "/api/detokenize", {"model": "chat", "tokens": [1, token]})
    assert status == 400
    assert str(token) in found["error"] and "256 tokens" in found["error"]


async def test_the_prompt_and_its_length_without_loading(world: World) -> None:
    body = {"model": "chat", "messages": MESSAGES}
    status, found = await ask(world, "/api/apply-template", body)
    prompt = "[user]hi\n[assistant]"
    expected = {"model": "chat", "count": len(prompt), "context_length": 512}
    assert (status, found) == (200, expected | {"prompt": prompt})
    assert await ask(world, "/api/count_tokens", body) == (200, expected)
    assert not world.engines


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"messages": MESSAGES}),
        ("/api/chat", {"messages": MESSAGES, "options": {"num_ctx": 12}}),
        ("/api/chat", {"messages": [{"role": "system", "content": "x" * 90}, *MESSAGES * 40]}),
        ("/api/generate", {"prompt": "one two", "system": "be brief"}),
        ("/api/generate", {"prompt": "raw", "raw": True}),
        ("/api/generate", {"prompt": "word " * 200}),
        ("/api/generate", {"prompt": "go on", "context": [65, 66]}),
        ("/api/generate", {"prompt": "x", "template": "<{{ .Prompt }}>"}),
    ],
)
@pytest.mark.parametrize("loaded", [False, True])
async def test_the_count_is_that_of_the_answer(
    world: World, path: str, body: dict[str, Any], loaded: bool
) -> None:
    body = {"model": "chat", "stream": False, **body}
    if loaded:
        await ask(world, "/api/generate", {"model": "chat"})
    status, counted = await ask(world, "/api/count_tokens", body)
    assert status == 200
    _, answer = await ask(world, path, body)
    assert counted["count"] == answer["prompt_eval_count"]
    assert counted.get("truncated") == answer.get("truncated")


@pytest.mark.parametrize("path", ["/api/count_tokens", "/api/apply-template"])
async def test_what_cannot_be_counted(world: World, path: str) -> None:
    status, found = await ask(world, path, {"model": "chat"})
    assert (status, found["error"]) == (400, "messages or prompt is required")
    assert (await ask(world, path, {"model": "nowhere", "prompt": "x"}))[0] == 404
    too_long = {"model": "chat", "prompt": "x" * 600, "truncate": False}
    status, found = await ask(world, path, too_long)
    assert status == 400 and "(512 tokens)" in found["error"]


async def test_what_cannot_be_scored_or_ranked(world: World) -> None:
    status, found = await ask(world, "/api/score", {"model": "vectors", "text": "x"})
    assert (status, found["error"]) == (400, '"vectors" does not support score')
    assert (await ask(world, "/api/score", {"model": "chat"}))[0] == 400
    body = {"model": "vectors", "query": "x", "documents": ["y"]}
    status, found = await ask(world, "/api/rerank", body)
    assert (status, found["error"]) == (400, '"vectors" does not support rerank')
    for name in ("query", "documents"):
        status, found = await ask(world, "/api/rerank", {**body, name: None})
        assert (status, found["error"]) == (400, f"{name} is required")


async def test_a_running_answer_is_listed_and_can_be_ended(world: World) -> None:
    asked = exchange("/api/chat", {"model": "chat", "messages": [{"content": "@waits"}]})
    answering = asyncio.ensure_future(asked.run(world.app))
    await until(lambda: len(asked.sent) > 1)
    _, listed = await ask(world, "/api/requests", method="GET")
    (active,) = listed["requests"]
    assert active["id"] == asked.header("x-request-id")
    assert (active["kind"], active["model"]) == ("chat", "chat")
    assert (active["state"], active["pieces"]) == ("writing", 1)
    _, status = await ask(world, "/api/status", method="GET")
    assert status["requests"] == 1 and status["models"][0]["state"] == "loaded"
    assert await ask(world, f"/api/requests/{active['id']}", method="DELETE") == (200, None)
    await answering
    assert json.loads(asked.content.splitlines()[-1]) == {"error": "request canceled"}
    assert world.engines[0].running == 0
    assert await ask(world, "/api/requests", method="GET") == (200, {"requests": []})
    status, found = await ask(world, f"/api/requests/{active['id']}", method="DELETE")
    assert status == 404 and active["id"] in found["error"]


async def test_requests_of_openais_dialect_are_listed_each_answer_by_itself(world: World) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": "@waits"}], "n": 2}
    asked = exchange("/v1/chat/completions", body | {"stream": True})
    answering = asyncio.ensure_future(asked.run(world.app))
    await until(lambda: world.engines and world.engines[0].running == 2)
    first, second = (await ask(world, "/api/requests", method="GET"))[1]["requests"]
    assert second["id"].startswith(f"{first['id']}-")
    await ask(world, f"/api/requests/{second['id']}", method="DELETE")
    await answering
    assert b"request canceled" in asked.content
    assert asked.header("x-request-id") == first["id"]
    assert world.engines[0].running == 0


async def test_a_request_is_ended_before_its_first_byte(world: World) -> None:
    body = {"model": "chat", "messages": [{"content": "@waits"}], "stream": False}
    asked = exchange("/api/chat", body)
    answering = asyncio.ensure_future(asked.run(world.app))
    await until(lambda: world.engines and world.engines[0].running)
    (active,) = (await ask(world, "/api/requests", method="GET"))[1]["requests"]
    await ask(world, f"/api/requests/{active['id']}", method="DELETE")
    assert world.engines[0].running == 0
    await answering
    assert (asked.status, json.loads(asked.content)) == (499, {"error": "request canceled"})
    assert world.engines[0].running == 0


async def test_a_request_whose_client_does_not_read_is_ended(world: World) -> None:
    class Stuck(Exchange):
        reading = asyncio.Event()

        async def _send(self, message: Any) -> None:
            await super()._send(message)
            if message["type"] == "http.response.body":
                await self.reading.wait()

    body = json.dumps({"model": "chat", "messages": MESSAGES}).encode()
    asked = Stuck("POST", "/api/chat", {"host": "localhost"}, body)
    answering = asyncio.ensure_future(asked.run(world.app))
    await until(lambda: len(asked.sent) > 1)
    assert world.engines[0].running == 1
    (active,) = (await ask(world, "/api/requests", method="GET"))[1]["requests"]
    await ask(world, f"/api/requests/{active['id']}", method="DELETE")
    assert world.engines[0].running == 0
    asked.reading.set()
    await answering
    assert json.loads(asked.content.splitlines()[-1]) == {"error": "request canceled"}


async def test_everything_is_counted_for_who_asks(world: World) -> None:
    body = {"model": "think", "messages": [{"content": "@think"}], "stream": False}
    plain = await exchange("/api/chat", body).run(world.app)
    assert "usage" not in json.loads(plain.content)
    full = await exchange("/api/chat", body, **{"x-pyollama-usage": "true"}).run(world.app)
    assert json.loads(full.content)["usage"] == {
        "prompt_tokens": len("[user]@think\n[assistant]") - len("user"),
        "cached_tokens": 0,
        "completion_tokens": 5,
        "thinking_tokens": 2,
        "draft_tokens": 0,
        "accepted_draft_tokens": 0,
        "queue_duration": 1,
    }


async def test_status_and_capabilities(world: World) -> None:
    status, found = await ask(world, "/api/status", method="GET")
    assert status == 200
    assert found["cloud"]["disabled"] is True
    assert (found["models"], found["requests"]) == ([], 0)
    assert found["memory"] == {"total": 1 << 36, "free": 1 << 36}
    _, can = await ask(world, "/api/capabilities", method="GET")
    paths = {endpoint["path"]: endpoint["methods"] for endpoint in can["endpoints"]}
    assert paths["/api/chat"] == ["POST"] and paths["/api/requests/{id}"] == ["DELETE"]
    assert {"num_ctx", "temperature"} <= set(can["options"])
