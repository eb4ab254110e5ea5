"""The client of the HTTP API where servers and networks are not as they should be."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from pyollama.client import Client
from pyollama.errors import ApiError, ServerUnreachable

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives one ``answer`` and hangs up: its address, and what it was sent."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(65536))
                connection.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", seen
        finally:
            thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def sized(body: bytes) -> bytes:
    return _OK + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (sized(b"<html>"), "no JSON"),
        (sized(b"[1]"), "no object"),
        (_OK + b"Content-Length: 100\r\n\r\n{", "broke"),
        (b"", "broke"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "broke"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater", "later"),
    ],
)
def test_answers_that_are_none(answer: bytes, message: str) -> None:
    with answering(answer) as (address, _), pytest.raises(ApiError, match=message):
        Client(f"http://{address}").running()


def test_a_stream_that_is_cut() -> None:
    frame = b'{"response": "one"}\n'
    chunk = b"%x\r\n%s\r\n" % (len(frame), frame)
    with answering(_CHUNKED + chunk + b"ff\r\n{") as (address, _):
        frames = Client(f"http://{address}").generate({})
        assert next(frames) == {"response": "one"}
        with pytest.raises(ApiError, match="broke"):
            next(frames)


def test_an_error_in_a_stream() -> None:
    answer = sized(b'{"error": "no room"}\n')
    with answering(answer) as (address, _), pytest.raises(ApiError, match="no room"):
        list(Client(f"http://{address}").chat({}))


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ServerUnreachable, match=f"no server answers at http://127.0.0.1:{port}"):
        Client(f"http://127.0.0.1:{port}").ping()


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(sized(b'{"models": []}')) as (proxy, seen):
        monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@{proxy}")
        assert Client("http://pyollama.invalid:8080/base").running() == []
    assert seen[0].startswith(b"GET http://pyollama.invalid:8080/base/api/ps HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n" in seen[0]

    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with answering(refusal) as (proxy, seen):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(ServerUnreachable, match="403"):
            Client("https://pyollama.invalid").ping()
    assert seen[0].startswith(b"CONNECT pyollama.invalid:443 HTTP/1.")


def test_no_proxy_for_this_machine_and_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with answering(sized(b'{"models": []}')) as (address, seen):
        assert Client(f"http://{address}").running() == []
    assert seen[0].startswith(b"GET /api/ps HTTP/1.1\r\n")
    monkeypatch.setenv("NO_PROXY", "pyollama.invalid")
    with pytest.raises(ServerUnreachable, match="no server answers"):
        Client("http://pyollama.invalid").ping()
