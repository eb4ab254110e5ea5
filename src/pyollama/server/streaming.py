"""From a typed event stream to the bytes of an answer: piece by piece, or as one object.

Both forms stop the work when the client goes away: the event iterator is closed, which aborts the
generation behind it. Before the first byte a failure is an exception, which becomes a real status;
after it, a last line.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pyollama.errors import PyollamaError
from pyollama.server.wire import Wire

Event = TypeVar("Event")
Event_contra = TypeVar("Event_contra", contravariant=True)
T = TypeVar("T")

JSON_TYPE = "application/json; charset=utf-8"
NDJSON_TYPE = "application/x-ndjson"
SSE_TYPE = "text/event-stream"

BODY_SEND = "pyollama.send"
"""Key of the scope for the HTTP server's own ``send``. What lies between it and a handler only
looks at how an answer starts, so the pieces of a stream need not pass through all of that."""

_encode = msgspec.json.Encoder().encode
_log = logging.getLogger(__name__)


class Frames(Protocol[Event_contra]):
    """How one dialect writes the events of one answer."""

    def stands_alone(self, event: Event_contra) -> bool:
        """Whether the event is a whole answer, which is no stream even where one was asked for."""
        ...

    def frame(self, event: Event_contra) -> bytes:
        """The event as one JSON object; empty when it has nothing to show."""
        ...

    def whole(self, events: list[Any]) -> bytes:
        """All events of an answer as one JSON object."""
        ...


class EventFrames(Frames[Event_contra], Protocol[Event_contra]):
    """Frames of a stream of server-sent events. What :meth:`frame` returns is made with
    :func:`sse`, and may hold several of them."""

    def failure(self, error: PyollamaError) -> bytes:
        """The end of a stream that fails after its first byte, in the same form."""
        ...


def encode_json(value: Any) -> bytes:
    """Compact JSON with the escapes of Go's encoder, which keep it safe inside HTML.

    The escaped characters only occur inside JSON strings, so that can be done blindly.
    """
    data = _encode(value)
    if b"<" in data or b">" in data or b"&" in data:
        data = data.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")
    if b"\xe2\x80\xa8" in data or b"\xe2\x80\xa9" in data:
        data = data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return data


def error_body(message: str) -> bytes:
    return encode_json({"error": message})


def sse(data: bytes) -> bytes:
    """One server-sent event; ``data`` is JSON, so it has no line ends of its own."""
    return b"data: " + data + b"\n\n"


def answer(events: AsyncGenerator[Event, None], frames: Frames[Event], *, stream: bool) -> Response:
    """The answer that ``events`` make: newline-delimited JSON, or one object."""
    return NdjsonResponse(events, frames) if stream else WholeResponse(events, frames)


def answer_events(
    events: AsyncGenerator[Event, None], frames: EventFrames[Event], *, stream: bool
) -> Response:
    """The answer that ``events`` make: server-sent events, or one JSON object."""
    return SseResponse(events, frames) if stream else WholeResponse(events, frames)


class StreamResponse(Response, ABC, Generic[Event]):
    """Every event is sent as soon as it is there; ``_quiet`` is sent while there is none."""

    _quiet: ClassVar[bytes]

    def __init__(self, events: AsyncGenerator[Event, None], frames: Frames[Event]) -> None:
        self._events = events
        self._frames = frames
        self.status_code = 200
        self.background = None
        self.body = b""
        self.init_headers()
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):
            pump = self._pump(send, scope.get(BODY_SEND, send))
            alone = await while_connected(receive, pump)
            if alone:
                await json_response(alone)(scope, receive, send)

    async def _pump(self, send: Send, send_body: Send) -> bytes:
        """Send the stream, or return the object that is sent instead."""
        wire = Wire(partial(self._start, send), send_body, self._quiet)
        try:
            async with aclosing(self._events) as events:
                try:
                    async for event in events:
                        if not wire.started and self._frames.stands_alone(event):
                            await wire.still()
                            return self._frames.whole([event])
                        if frame := self._frames.frame(event):
                            await wire.write(self._framed(frame))
                except PyollamaError as error:
                    await wire.still()
                    if not wire.started:
                        raise
                    await wire.write(self._failed(error))
                except Exception:
                    # The status is out already: the stream must end with an error of its own.
                    await wire.still()
                    if not wire.started:
                        raise
                    _log.exception("stream failed")
                    await wire.write(self._failed(PyollamaError("internal error")))
            await wire.end()
        finally:
            await wire.still()
        return b""

    @abstractmethod
    def _framed(self, frame: bytes) -> bytes:
        """``frame`` as it is sent."""

    @abstractmethod
    def _failed(self, error: PyollamaError) -> bytes:
        """How a stream ends that fails after its first byte."""

    async def _start(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )


class NdjsonResponse(StreamResponse[Event]):
    """One line per event."""

    media_type = NDJSON_TYPE
    _quiet = b" "  # blanks may stand before a JSON text; an empty line breaks Ollama's own client

    def _framed(self, frame: bytes) -> bytes:
        return frame + b"\n"

    def _failed(self, error: PyollamaError) -> bytes:
        return error_body(error.message) + b"\n"


class SseResponse(StreamResponse[Event]):
    """Server-sent events."""

    media_type = SSE_TYPE
    _quiet = b": \n\n"  # a comment

    def __init__(self, events: AsyncGenerator[Event, None], frames: EventFrames[Event]) -> None:
        super().__init__(events, frames)
        self._failure = frames.failure
        # Starlette adds a charset to texts, which Ollama does not.
        self.headers["content-type"] = SSE_TYPE

    def _framed(self, frame: bytes) -> bytes:
        return frame

    def _failed(self, error: PyollamaError) -> bytes:
        return self._failure(error)


class WholeResponse(Response):
    """All events in one object, sent at the end."""

    media_type = "application/json"

    def __init__(self, events: AsyncGenerator[Event, None], frames: Frames[Event]) -> None:
        super().__init__(headers={"content-type": JSON_TYPE})
        self._events = events
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await while_connected(receive, self._collect())
        await json_response(body)(scope, receive, send)

    async def _collect(self) -> bytes:
        async with aclosing(self._events) as events:
            return self._frames.whole([event async for event in events])


def json_response(body: bytes, status: int = 200) -> Response:
    return Response(body, status, headers={"content-type": JSON_TYPE})


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``. When the client leaves it is cancelled, with ``ClientDisconnect``."""
    running = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((running, watching), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
    finally:
        watching.cancel()
        await _cancelled(running)
    raise ClientDisconnect


async def _cancelled(task: asyncio.Future[T]) -> None:
    """Cancel ``task`` if it still runs, and see its clean-up through."""
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError, PyollamaError):
            await task


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
