"""What happens to every request before it is routed; pure ASGI, nothing is buffered.

In this order: access log and request id, clean path, CORS, host check. Each class wraps the next
application. ``methods_of`` names the methods a path is routed for, for the ``Allow`` header that a
router would add.
"""

from __future__ import annotations

import html
import itertools
import logging
import posixpath
import time
from collections.abc import Callable, Iterable
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pyollama.server.hosts import LocalHosts, without_port
from pyollama.server.origins import Origins

MethodsOf = Callable[[Scope], tuple[str, ...]]

_access = logging.getLogger("pyollama.access")

_CORS_METHODS = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
_CORS_HEADERS = (
    "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,"
    "X-Stainless-Arch,X-Stainless-Async,X-Stainless-Custom-Poll-Interval,"
    "X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,X-Stainless-Package-Version,"
    "X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,"
    "X-Stainless-Runtime-Version,X-Stainless-Timeout"
)
_PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class AccessLog:
    """One line per request when it has ended; an id that the answer carries too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._count = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"{next(self._count):08x}"
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 0

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            client = scope.get("client")
            _access.info(
                "%s %s %s status=%s duration=%.3fs client=%s",
                request_id,
                scope["method"],
                scope["path"],
                status or "gone",
                time.perf_counter() - started,
                client[0] if client else "-",
            )


class CleanPath:
    """Redirects paths with doubled slashes or dot segments to their clean form.

    What counts is the path as it was sent: an encoded slash separates nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope.get("raw_path", b"").decode("latin-1") or quote(scope["path"])
            if (clean := _cleaned(path)) != path:
                await redirect(scope, send, clean, 307)
                return
        await self._app(scope, receive, send)


class Cors:
    """Refuses origins that are not on the list, answers preflights, marks what is allowed."""

    def __init__(self, app: ASGIApp, origins: Origins, methods_of: MethodsOf) -> None:
        self._app = app
        self._origins = origins
        self._methods_of = methods_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin, host = headers.get("origin", ""), headers.get("host", "")
        if not origin or origin in (f"http://{host}", f"https://{host}"):
            await self._app(scope, receive, send)
            return
        if not self._origins.allow(origin):
            await bare(send, 403, allow_header(scope, self._methods_of))
            return
        granted = {"access-control-allow-origin": "*" if self._origins.everyone else origin}
        if scope["method"] == "OPTIONS":
            await bare(send, 204, self._preflight(scope, granted))
            return
        if not self._origins.everyone:
            granted["vary"] = "Origin"

        async def send_granted(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(granted)
            await send(message)

        await self._app(scope, receive, send_granted)

    def _preflight(self, scope: Scope, granted: dict[str, str]) -> dict[str, str]:
        return {
            **allow_header(scope, self._methods_of),
            **granted,
            "vary": _PREFLIGHT_VARY,
            "access-control-allow-methods": _CORS_METHODS,
            "access-control-allow-headers": _CORS_HEADERS,
            "access-control-max-age": "43200",
        }


class HostCheck:
    """Answers only to names of this machine; see :mod:`pyollama.server.hosts`."""

    def __init__(self, app: ASGIApp, hosts: LocalHosts, methods_of: MethodsOf) -> None:
        self._app = app
        self._hosts = hosts
        self._methods_of = methods_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = without_port(Headers(scope=scope).get("host", ""))
            if not self._hosts.knows(host):
                await bare(send, 403, allow_header(scope, self._methods_of))
                return
            if scope["method"] == "OPTIONS" and self._hosts.knows_name(host):
                await bare(send, 204, allow_header(scope, self._methods_of))
                return
        await self._app(scope, receive, send)


def allow_header(scope: Scope, methods_of: MethodsOf) -> dict[str, str]:
    """``Allow``, where the path is known but not for this method."""
    methods = methods_of(scope)
    if not methods or scope["method"] in methods:
        return {}
    return {"allow": ", ".join(methods)}


async def redirect(scope: Scope, send: Send, location: str, status: int) -> None:
    """Send a redirect to the encoded path ``location``; GETs get the small page of old browsers."""
    location = quote(location, safe="/:@!$&'()*+,;=~%")
    if query := scope.get("query_string"):
        location += "?" + query.decode("latin-1")
    if scope["method"] != "GET":
        await bare(send, status, {"location": location})
        return
    headers = {"location": location, "content-type": "text/html; charset=utf-8"}
    await bare(send, status, headers, page_of_redirect(location, status))


def page_of_redirect(location: str, status: int) -> bytes:
    reason = "Moved Permanently" if status == 301 else "Temporary Redirect"
    return f'<a href="{html.escape(location)}">{reason}</a>.\n\n'.encode()


async def bare(send: Send, status: int, headers: dict[str, str], body: bytes = b"") -> None:
    """Send a complete answer."""
    raw: Iterable[tuple[str, str]] = headers.items()
    if status != 204:
        raw = (*raw, ("content-length", str(len(body))))
    start = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in raw]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


def _cleaned(path: str) -> str:
    if "//" not in path and "/." not in path:
        return path
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return clean + "/" if path.endswith("/") and clean != "/" else clean
