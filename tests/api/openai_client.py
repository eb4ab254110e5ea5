"""OpenAI's own client over a server in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import openai
from tests.api.world import World


@asynccontextmanager
async def connected(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client that does not try again, so that an error is what the server said first."""
    async with openai.AsyncOpenAI(
        api_key="anything",
        base_url="http://localhost/v1",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=httpx2.ASGITransport(world.app)),
    ) as client:
        yield client
