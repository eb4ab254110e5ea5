from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from tests.unit.server.asgi import Exchange

from pyollama.errors import EngineError, InvalidRequest, PyollamaError
from pyollama.server import wire
from pyollama.server.streaming import (
    BODY_SEND,
    JSON_TYPE,
    answer,
    answer_events,
    encode_json,
    sse,
)


class Upper:
    """Writes a text in capitals."""

    def stands_alone(self, event: str) -> bool:
        return event == "alone"

    def frame(self, event: str) -> bytes:
        return encode_json(event.upper()) if event else b""

    def whole(self, events: list[Any]) -> bytes:
        return encode_json(events)


async def words(*items: str | Exception) -> AsyncGenerator[str, None]:
    for item in items:
        if isinstance(item, Exception):
            raise item
        yield item


async def test_one_line_per_event_sent_at_once() -> None:
    exchange = await Exchange().run(answer(words("a", "", "b"), Upper(), stream=True))
    assert exchange.header("content-type") == "application/x-ndjson"
    assert exchange.header("content-length") is None
    assert exchange.bodies == [b'"A"\n', b'"B"\n', b""]


async def test_a_failure_after_the_first_byte_is_a_last_line() -> None:
    events = words("a", EngineError("it <broke>"))
    exchange = await Exchange().run(answer(events, Upper(), stream=True))
    assert exchange.status == 200
    assert exchange.bodies == [b'"A"\n', b'{"error":"it \\u003cbroke\\u003e"}\n', b""]


async def test_a_bug_after_the_first_byte_ends_the_stream_too() -> None:
    exchange = await Exchange().run(answer(words("a", KeyError("x")), Upper(), stream=True))
    assert exchange.bodies[1:] == [b'{"error":"internal error"}\n', b""]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_byte_is_an_exception(stream: bool) -> None:
    exchange = Exchange()
    with pytest.raises(InvalidRequest):
        await exchange.run(answer(words(InvalidRequest("no")), Upper(), stream=stream))
    assert exchange.sent == []


async def test_an_event_that_stands_alone_is_no_stream() -> None:
    exchange = await Exchange().run(answer(words("alone"), Upper(), stream=True))
    assert exchange.header("content-type") == "application/json; charset=utf-8"
    assert exchange.content == b'["alone"]'


async def test_one_object() -> None:
    exchange = await Exchange().run(answer(words("a", "b"), Upper(), stream=False))
    assert exchange.header("content-type") == "application/json; charset=utf-8"
    assert exchange.content == b'["a","b"]'


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("before", [0, 3])
async def test_a_client_that_leaves_closes_the_events(stream: bool, before: int) -> None:
    closed = asyncio.Event()
    waiting = asyncio.Event()

    async def events() -> AsyncGenerator[str, None]:
        try:
            for _ in range(before):
                yield "x"
            waiting.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    exchange = Exchange(method="POST")
    running = asyncio.create_task(exchange.run(answer(events(), Upper(), stream=stream)))
    await waiting.wait()
    assert not closed.is_set()
    exchange.gone.set()
    with nullcontext() if stream else pytest.raises(ClientDisconnect):
        await running
    assert closed.is_set()


async def test_cancelling_the_server_closes_the_events() -> None:
    closed = asyncio.Event()

    async def events() -> AsyncGenerator[str, None]:
        try:
            yield "x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    running = asyncio.create_task(Exchange().run(answer(events(), Upper(), stream=True)))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert closed.is_set()


def test_json_is_safe_inside_html() -> None:
    assert encode_json({"a": "<&>\u2028é"}) == b'{"a":"\\u003c\\u0026\\u003e\\u2028\xc3\xa9"}'


async def test_lines_go_past_the_middleware() -> None:
    """Only the start of an answer goes through what lies between the server and a handler."""
    server, between = Exchange(), Exchange()
    scope = {**between.scope, BODY_SEND: server._send}
    await answer(words("a"), Upper(), stream=True)(scope, between._receive, between._send)
    assert [message["type"] for message in between.sent] == ["http.response.start"]
    assert [message["body"] for message in server.sent] == [b'"A"\n', b""]


class Spoken(Upper):
    """The same as server-sent events."""

    def frame(self, event: str) -> bytes:
        return sse(super().frame(event)) if event else b""

    def failure(self, error: PyollamaError) -> bytes:
        return sse(encode_json({"failed": error.message}))


async def test_server_sent_events() -> None:
    response = answer_events(words("a", "", "b"), Spoken(), stream=True)
    exchange = await Exchange().run(response)
    assert exchange.header("content-type") == "text/event-stream"
    assert exchange.bodies == [b'data: "A"\n\n', b'data: "B"\n\n', b""]


async def test_server_sent_events_fail_in_their_own_form() -> None:
    response = answer_events(words("a", EngineError("no")), Spoken(), stream=True)
    exchange = await Exchange().run(response)
    assert exchange.bodies == [b'data: "A"\n\n', b'data: {"failed":"no"}\n\n', b""]


async def test_events_of_an_answer_that_is_not_streamed_are_one_object() -> None:
    exchange = await Exchange().run(answer_events(words("a", "b"), Spoken(), stream=False))
    assert (exchange.header("content-type"), exchange.content) == (JSON_TYPE, b'["a","b"]')


@dataclass
class Quiet(Exchange):
    """Lets ``heard`` be awaited: something was sent although there was no event."""

    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def _send(self, message: Any) -> None:
        await super()._send(message)
        if message.get("body", b"") in (b" ", b": \n\n"):
            self.heard.set()


async def later(exchange: Quiet, *items: str | Exception) -> AsyncGenerator[str, None]:
    for item in items:
        exchange.heard.clear()
        await exchange.heard.wait()
        if isinstance(item, Exception):
            raise item
        yield item


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "QUIET", 0.002)


@pytest.mark.usefixtures("impatient")
async def test_no_stream_is_silent_for_long() -> None:
    exchange = Quiet()
    await exchange.run(answer(later(exchange, "a", "b"), Upper(), stream=True))
    assert exchange.status == 200
    first, second = exchange.content.splitlines()
    assert (first[:1], second[:1]) == (b" ", b" ")
    assert [json.loads(first), json.loads(second)] == ["A", "B"]


@pytest.mark.usefixtures("impatient")
async def test_what_stood_alone_and_failures_are_lines_after_a_silence() -> None:
    exchange = Quiet()
    await exchange.run(answer(later(exchange, "alone"), Upper(), stream=True))
    assert exchange.header("content-type") == "application/x-ndjson"
    assert json.loads(exchange.content) == "ALONE"
    exchange = Quiet()
    await exchange.run(answer(later(exchange, EngineError("broke")), Upper(), stream=True))
    assert (exchange.status, json.loads(exchange.content)) == (200, {"error": "broke"})


@pytest.mark.usefixtures("impatient")
async def test_nothing_is_sent_after_the_end() -> None:
    for events in (words("a"), words(), words("alone")):
        exchange = await Exchange().run(answer(events, Upper(), stream=True))
        sent = len(exchange.sent)
        quiet = Quiet()  # as long as another stream takes to be silent
        await quiet.run(answer(later(quiet, "x"), Upper(), stream=True))
        assert len(exchange.sent) == sent
        assert exchange.sent[-1].get("more_body", False) is False
