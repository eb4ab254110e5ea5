"""What an engine is told about who asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.api.world import make_world
from tests.unit.server.asgi import Exchange

BODY = b'{"model":"chat","prompt":"hi","messages":[{"role":"user","content":"hi"}],"stream":false}'


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
async def test_priority_and_key_reach_the_engine(path: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    headers = {"host": "localhost", "x-pyollama-priority": "batch", "authorization": "Bearer x"}
    await Exchange("POST", path, headers, BODY).run(world.app)
    (request,) = world.engines[0].requests
    await world.pool.close()
    assert request.priority == "batch"
    assert request.key.startswith("token ")


async def test_an_unknown_priority_is_a_bad_request(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    headers = {"host": "localhost", "x-pyollama-priority": "urgent"}
    exchange = await Exchange("POST", "/api/chat", headers, BODY).run(world.app)
    await world.pool.close()
    assert exchange.status == 400
    assert b"X-Pyollama-Priority: 'urgent' must be one of interactive, normal" in exchange.content


async def test_who_asks_is_the_same_in_every_dialect(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    headers = {"host": "localhost", "authorization": "Bearer x"}
    for path in ("/api/chat", "/v1/chat/completions", "/v1/completions"):
        await Exchange("POST", path, headers, BODY).run(world.app)
    await world.pool.close()
    assert len({request.key for request in world.engines[0].requests}) == 1
    assert len(world.engines[0].requests) == 3
