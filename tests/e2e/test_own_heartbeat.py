"""Real clients and an answer that takes so long that the server has to show it is alive."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from tests.api.world import make_world

from pyollama.server import wire

BEATS = 3
PROMPT = "@waits"


class Watched:
    """The application; an answer goes on whenever ``BEATS`` signs of life were sent."""

    def __init__(self, folder: Path) -> None:
        self.world = make_world(folder)
        self.beats = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def count(message: Message) -> None:
            await send(message)
            if message.get("body") == b" ":
                self.beats += 1
                if self.beats == BEATS:
                    self.world.engines[0].gate.set()

        await self.world.app(scope, receive, count if scope["type"] == "http" else send)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Watched]]:
    monkeypatch.setattr(wire, "QUIET", 0.02)
    ready = threading.Event()
    found: list[Any] = []

    async def serve() -> None:
        app = Watched(tmp_path)
        config = uvicorn.Config(app, port=0, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0)
        port = server.servers[0].sockets[0].getsockname()[1]
        found.extend((f"http://127.0.0.1:{port}", app, server))
        ready.set()
        await serving
        await app.world.pool.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    url, app, server = found
    try:
        yield url, app
    finally:
        server.should_exit = True
        thread.join()


def test_the_official_client_reads_on(watched: tuple[str, Watched]) -> None:
    url, app = watched
    with ollama.Client(url) as client:
        parts = list(client.generate("chat", PROMPT, stream=True))
    assert app.beats >= BEATS
    assert "".join(part.response for part in parts) == "Hello there."
    assert parts[-1].done


async def test_the_official_client_reads_on_asynchronously(watched: tuple[str, Watched]) -> None:
    url, app = watched
    messages = [{"role": "user", "content": PROMPT}]
    async with ollama.AsyncClient(url) as client:
        parts = [part async for part in await client.chat("chat", messages, stream=True)]
    assert app.beats >= BEATS
    assert "".join(part.message.content or "" for part in parts) == "Hello there."
