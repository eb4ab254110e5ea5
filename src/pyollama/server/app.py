"""The application: middleware, routes and error handlers put together."""

from __future__ import annotations

import logging
from itertools import chain

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from pyollama.config import Settings
from pyollama.errors import PyollamaError
from pyollama.server.callers import Callers
from pyollama.server.errors import status_of
from pyollama.server.hosts import LocalHosts, is_loopback
from pyollama.server.middleware import AccessLog, CleanPath, Cors, HostCheck, page_of_redirect
from pyollama.server.ollama.routes import OllamaRoutes
from pyollama.server.openai.errors import error_response, page_not_found
from pyollama.server.openai.routes import OpenAIRoutes
from pyollama.server.origins import Origins
from pyollama.server.own.routes import OwnRoutes
from pyollama.server.streaming import BODY_SEND, error_body, json_response
from pyollama.service.services import Services

_log = logging.getLogger(__name__)


def create_app(services: Services, settings: Settings) -> FastAPI:
    """The ASGI application over ``services``, which belong to the caller."""
    app = _Application(redirect_slashes=False, openapi_url=None, docs_url=None, redoc_url=None)
    callers = Callers(settings.files)
    tables = (
        OllamaRoutes(services, settings, callers).table(),
        OwnRoutes(services, callers).table(),
        OpenAIRoutes(services, callers).table(),
    )
    for path, methods, handler in chain(*tables):
        app.add_api_route(path, handler, methods=methods, response_model=None)
    app.add_exception_handler(PyollamaError, _on_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_bug)
    app.user_middleware.extend(_middleware(app, settings))
    return app


class _Application(FastAPI):
    """Lets streams send their lines past the middleware, see :data:`BODY_SEND`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[BODY_SEND] = send
        await super().__call__(scope, receive, send)


def _middleware(app: FastAPI, settings: Settings) -> list[Middleware]:
    def methods_of(scope: Scope) -> tuple[str, ...]:
        return methods_for(app, scope["path"])

    stack = [
        Middleware(AccessLog),
        Middleware(CleanPath),
        Middleware(Cors, Origins.build(settings.origins), methods_of),
    ]
    if is_loopback(settings.address.host):
        stack.append(Middleware(HostCheck, LocalHosts.of_this_machine(), methods_of))
    return stack


def methods_for(app: FastAPI, path: str) -> tuple[str, ...]:
    """The methods that ``path`` is routed for, in the order Ollama names them."""
    found = {
        method
        for route in app.routes
        if isinstance(route, APIRoute) and route.path_regex.match(path)
        for method in route.methods or ()
    }
    return tuple(sorted(found, key=lambda method: (method != "HEAD", method)))


async def _on_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, PyollamaError):
        raise error
    status = status_of(error)
    if status >= 500:
        _log.warning("%s %s: %s", request.method, request.url.path, error)
    if _is_openai(request):
        return error_response(error)
    return json_response(error_body(error.message), status)


async def _on_http_error(request: Request, error: Exception) -> Response:
    """Unknown paths and methods; a path with a slash too many is sent on."""
    path = request.url.path
    methods = methods_for(request.app, path)
    if methods:
        headers = {"allow": ", ".join(methods), "content-type": "text/plain"}
        return Response("405 method not allowed", 405, headers=headers)
    bare = path.rstrip("/")
    if path != bare and request.method in methods_for(request.app, bare):
        return _sent_on(request, bare)
    if _is_openai(request):
        return page_not_found(request.method, path)
    return Response("404 page not found", 404, headers={"content-type": "text/plain"})


def _is_openai(request: Request) -> bool:
    return request.url.path.startswith("/v1/")


def _sent_on(request: Request, path: str) -> Response:
    if request.method != "GET":
        return RedirectResponse(path, 307)
    page = page_of_redirect(path, 301)
    headers = {"location": path, "content-type": "text/html; charset=utf-8"}
    return Response(page, 301, headers=headers)


async def _on_disconnect(_: Request, __: Exception) -> Response:
    """For the access log; nobody is there to read it."""
    return Response(status_code=499)


async def _on_bug(request: Request, _: Exception) -> Response:
    """The exception itself is logged by the server, which sees it after this answer."""
    error = PyollamaError("internal error, see the server's log")
    if _is_openai(request):
        return error_response(error)
    return json_response(error_body(error.message), 500)
