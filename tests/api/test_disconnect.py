"""A client that leaves, seen from the engine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.api.world import World, make_world
from tests.unit.server.asgi import Exchange


async def until_running(world: World) -> None:
    async with asyncio.timeout(60):
        while not (world.engines and world.engines[0].running):
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("stream", ["true", "false"])
@pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
async def test_leaving_aborts_the_generation_and_frees_the_lease(
    path: str, stream: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    body = (
        f'{{"model":"chat","prompt":"@waits","stream":{stream},'
        '"messages":[{"role":"user","content":"@waits"}],"keep_alive":0}'
    )
    exchange = Exchange("POST", path, {"host": "localhost"}, body.encode())
    running = asyncio.create_task(exchange.run(world.app))
    await until_running(world)
    exchange.gone.set()
    await asyncio.wait_for(running, 5)
    assert world.engines[0].running == 0
    await world.pool.close()
    assert world.pool.ps() == []
