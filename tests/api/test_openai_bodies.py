"""Compressed bodies of requests."""

from __future__ import annotations

import json

import pytest
import zstandard
from tests.api.world import World
from tests.unit.server.asgi import Exchange

_HEADERS = {"host": "localhost", "content-encoding": "zstd"}
_BODY = b'{"model":"chat","prompt":"hi"}'


async def post(world: World, body: bytes, path: str = "/v1/completions") -> tuple[int, bytes]:
    exchange = await Exchange("POST", path, _HEADERS, body).run(world.app)
    return exchange.status, exchange.content


async def test_a_compressed_body(world: World) -> None:
    status, content = await post(world, zstandard.compress(_BODY))
    assert status == 200
    assert json.loads(content)["choices"][0]["text"] == "Hello there."


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (_BODY, "the body is not zstd"),
        (zstandard.compress(_BODY)[:-6], "not valid JSON"),
        (zstandard.compress(bytes(21 << 20)), "must not become longer than 20 MiB"),
        (b"", "missing request body"),
    ],
    ids=["plain", "cut off", "bomb", "empty"],
)
async def test_what_is_refused(world: World, body: bytes, complaint: str) -> None:
    status, content = await post(world, body)
    error = json.loads(content)["error"]
    assert (status, error["param"]) == (400, None)
    assert complaint in error["message"]


async def test_a_window_that_is_too_large(world: World) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=24)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = compressor.compress(_BODY) + compressor.flush()
    status, content = await post(world, body)
    assert status == 400
    assert b"the body is not zstd" in content
