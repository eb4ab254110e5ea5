"""A small HTTP client for measuring: what it costs per piece must not show in the figures.

Plain HTTP/1.1 to one local server, chunked bodies or bodies of a stated length. A piece of a stream
costs a few microseconds, with a general client library several times that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

JSON = dict[str, Any]


class HttpError(Exception):
    """The server answered with another status than 2xx."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body[:500].decode(errors='replace')}")
        self.status = status


class _ClosedBeforeAnswer(ConnectionError):
    """Not a byte of an answer came."""


class _Head(NamedTuple):
    status: int
    length: int | None
    """Bytes of the body; ``None`` if it comes in chunks."""


class _Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def usable(self) -> bool:
        return not self.reader.at_eof() and not self.writer.is_closing()


class Http:
    """Connections are kept and used again. Belongs to the event loop it is first used in."""

    def __init__(self, base_url: str) -> None:
        address = urlsplit(base_url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._idle: list[_Connection] = []

    async def close(self) -> None:
        while self._idle:
            await _close(self._idle.pop())

    async def post(self, path: str, body: JSON) -> JSON:
        """The decoded body of the answer; raises :class:`HttpError`."""
        chunks = [chunk async for chunk in self.stream(path, body)]
        answer: JSON = msgspec.json.decode(b"".join(chunks))
        return answer

    async def lines(self, path: str, body: JSON) -> AsyncGenerator[bytes, None]:
        """Lines of the answer as they come, without their ends and without empty ones."""
        rest = b""
        async with aclosing(self.stream(path, body)) as chunks:
            async for chunk in chunks:
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    if line := line.rstrip(b"\r"):
                        yield line
        if rest:
            yield rest

    async def stream(self, path: str, body: JSON) -> AsyncGenerator[bytes, None]:
        """Pieces of the body as they come. Closing the generator early hangs up."""
        request = self._request(path, msgspec.json.encode(body))
        connection, head = await self._ask(request)
        ended = False
        try:
            if not 200 <= head.status < 300:
                content = b"".join([c async for c in _body(connection.reader, head)])
                ended = True
                raise HttpError(head.status, content)
            async for chunk in _body(connection.reader, head):
                yield chunk
            ended = True
        finally:
            if ended:
                self._idle.append(connection)
            else:
                connection.writer.close()

    async def _ask(self, request: bytes) -> tuple[_Connection, _Head]:
        """Sends it; a kept connection that the server has closed meanwhile is replaced."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                try:
                    return connection, await _exchange(connection, request)
                except (_ClosedBeforeAnswer, ConnectionResetError):
                    pass
            connection.writer.close()
        connection = _Connection(*await asyncio.open_connection(self._host, self._port))
        try:
            return connection, await _exchange(connection, request)
        except BaseException:
            connection.writer.close()
            raise

    def _request(self, path: str, content: bytes) -> bytes:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content


async def _exchange(connection: _Connection, request: bytes) -> _Head:
    connection.writer.write(request)
    return await _read_head(connection.reader)


async def _read_head(reader: asyncio.StreamReader) -> _Head:
    status_line = await reader.readline()
    if not status_line:
        raise _ClosedBeforeAnswer("the server closed the connection before it answered")
    length: int | None = None
    while (line := await reader.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return _Head(int(status_line.split()[1]), length)


async def _body(reader: asyncio.StreamReader, head: _Head) -> AsyncGenerator[bytes, None]:
    if head.length is not None:
        yield await reader.readexactly(head.length)
        return
    while size := await _chunk_size(reader):
        yield await reader.readexactly(size)
        await reader.readline()
    await reader.readline()


async def _chunk_size(reader: asyncio.StreamReader) -> int:
    line = await reader.readline()
    if not line:
        raise ConnectionError("the server closed the connection in the middle of an answer")
    return int(line.partition(b";")[0], 16)


async def _close(connection: _Connection) -> None:
    connection.writer.close()
    await connection.writer.wait_closed()
