from __future__ import annotations

import logging
from ipaddress import ip_address

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.unit.server.asgi import Exchange

from pyollama.server.hosts import LocalHosts
from pyollama.server.middleware import AccessLog, CleanPath, Cors, HostCheck, bare
from pyollama.server.origins import Origins

HOSTS = LocalHosts("mybox", frozenset({ip_address("203.0.113.7")}))


async def ok(scope: Scope, receive: Receive, send: Send) -> None:
    await bare(send, 200, {}, b"ok")


def methods_of(scope: Scope) -> tuple[str, ...]:
    return ("POST",) if scope["path"] == "/api/chat" else ()


def cors(*extra: str) -> ASGIApp:
    return Cors(ok, Origins.build(extra), methods_of)


def hosts() -> ASGIApp:
    return HostCheck(ok, HOSTS, methods_of)


@pytest.mark.parametrize("headers", [{}, {"origin": ""}, {"origin": "https://x:1", "host": "x:1"}])
async def test_what_is_not_cross_origin_passes_unmarked(headers: dict[str, str]) -> None:
    exchange = await Exchange(headers=headers).run(cors())
    assert exchange.status == 200
    assert exchange.header("access-control-allow-origin") is None


async def test_an_allowed_origin_is_echoed() -> None:
    exchange = await Exchange(headers={"origin": "http://localhost:3000"}).run(cors())
    assert exchange.header("access-control-allow-origin") == "http://localhost:3000"
    assert exchange.header("vary") == "Origin"


async def test_everyone_is_told_a_star() -> None:
    exchange = await Exchange(headers={"origin": "https://evil.example"}).run(cors("*"))
    assert exchange.header("access-control-allow-origin") == "*"
    assert exchange.header("vary") is None


async def test_a_foreign_origin_is_refused_and_never_reaches_the_app() -> None:
    exchange = await Exchange(headers={"origin": "https://evil.example"}).run(cors())
    assert (exchange.status, exchange.content) == (403, b"")


async def test_preflight() -> None:
    headers = {"origin": "app://notes", "access-control-request-method": "POST"}
    exchange = await Exchange("OPTIONS", "/api/chat", headers).run(cors())
    assert (exchange.status, exchange.content) == (204, b"")
    assert exchange.header("allow") == "POST"
    assert exchange.header("access-control-allow-origin") == "app://notes"
    assert exchange.header("access-control-max-age") == "43200"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("", 200),
        ("localhost:11434", 200),
        ("LocalHost", 200),
        ("MyBox:80", 200),
        ("printer.local", 200),
        ("127.9.9.9:80", 200),
        ("10.1.2.3", 200),
        ("203.0.113.7", 200),
        ("[::1]:11434", 200),
        ("[fd00::1]:80", 200),
        ("[::1]", 403),
        ("8.8.8.8", 403),
        ("169.254.1.1", 403),
        ("100.64.0.1", 403),
        ("evil.example:80", 403),
        ("localhost.", 403),
        ("local", 403),
        ("localhost.evil.example", 403),
    ],
)
async def test_hosts(host: str, status: int) -> None:
    assert (await Exchange(headers={"host": host}).run(hosts())).status == status


async def test_options_by_name_are_answered_and_by_address_routed() -> None:
    by_name = await Exchange("OPTIONS", "/api/chat", {"host": "localhost"}).run(hosts())
    assert (by_name.status, by_name.header("allow")) == (204, "POST")
    assert (
        await Exchange("OPTIONS", "/api/chat", {"host": "127.0.0.1"}).run(hosts())
    ).status == 200


@pytest.mark.parametrize(
    ("path", "clean"),
    [("//api//version", "/api/version"), ("/a/../b/./c/", "/b/c/"), ("/..", "/"), ("//", "/")],
)
async def test_unclean_paths_are_redirected(path: str, clean: str) -> None:
    exchange = await Exchange(path=path).run(CleanPath(ok))
    assert exchange.status == 307
    assert exchange.header("location") == clean
    assert clean.encode() in exchange.content


@pytest.mark.parametrize(
    "path", ["/", "/api/version", "/api/version/", "/a..b", "/.hidden", "/..%2f..%2fx"]
)
async def test_clean_paths_pass(path: str) -> None:
    assert (await Exchange(path=path).run(CleanPath(ok))).status == 200


async def test_a_redirect_never_leaves_this_server() -> None:
    exchange = await Exchange("POST", "//evil.example/x\r\ny").run(CleanPath(ok))
    assert exchange.header("location") == "/evil.example/x%0D%0Ay"
    assert exchange.content == b""


async def test_every_request_is_logged_with_the_id_of_its_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pyollama.access")
    exchange = await Exchange(path="/api/ps").run(AccessLog(ok))
    request_id = exchange.header("x-request-id")
    assert request_id
    assert f"{request_id} GET /api/ps status=200" in caplog.messages[0]
