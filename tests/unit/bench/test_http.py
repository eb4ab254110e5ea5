from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from bench.http import Http, HttpError


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[Http, list[asyncio.StreamWriter]]]:
    """A server that gives these answers, one after the other, on however many connections."""
    left = list(answers)
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while left and (await reader.readline()):
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                if line.startswith(b"Content-Length:"):
                    length = int(line.split()[1])
            await reader.readexactly(length)
            writer.write(left.pop(0))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    http = Http(f"http://127.0.0.1:{port}")
    try:
        yield http, connections
    finally:
        await http.close()
        server.close()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_lines_may_be_cut_anywhere() -> None:
    answer = CHUNKED + b"3\r\none\r\n6\r\n\r\ntwo\n\r\n5\r\n\nend!\r\n0\r\n\r\n"
    async with answering(answer) as (http, _):
        assert [line async for line in http.lines("/", {})] == [b"one", b"two", b"end!"]


async def test_a_connection_is_used_again_after_a_whole_answer() -> None:
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"n": 42}'
    async with answering(answer, answer) as (http, connections):
        assert await http.post("/", {}) == {"n": 42}
        assert await http.post("/", {}) == {"n": 42}
        assert len(connections) == 1


async def test_an_error_has_its_status() -> None:
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope"
    async with answering(answer) as (http, _):
        with pytest.raises(HttpError, match="404: nope") as failure:
            await http.post("/", {})
        assert failure.value.status == 404


async def test_an_answer_that_breaks_off_is_an_error() -> None:
    async with answering(CHUNKED + b"3\r\none\r\n") as (http, connections):
        stream = http.stream("/", {})
        assert await anext(stream) == b"one"
        connections[0].close()
        with pytest.raises(ConnectionError, match="in the middle"):
            await anext(stream)


async def test_closing_a_stream_early_hangs_up() -> None:
    ended = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    async with answering(CHUNKED + b"3\r\none\r\n", ended) as (http, connections):
        stream = http.stream("/", {})
        assert await anext(stream) == b"one"
        await stream.aclose()
        assert await http.post("/", {}) == {}
        assert len(connections) == 2
