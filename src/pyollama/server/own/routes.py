"""Handlers of our own routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from pyollama.errors import InvalidRequest
from pyollama.server.body import decode_body
from pyollama.server.callers import Callers
from pyollama.server.ollama import convert
from pyollama.server.ollama.schemas import Chat, Generate
from pyollama.server.own import answers, schemas
from pyollama.server.streaming import json_response, while_connected
from pyollama.server.values import keep_alive
from pyollama.service.answer import ReadyPrompt
from pyollama.service.services import Services
from pyollama.types import RerankRequest, ScoreRequest

Handler = Callable[[Request], Awaitable[Response]]


class OwnRoutes:
    """Handlers over ``services``."""

    def __init__(self, services: Services, callers: Callers) -> None:
        self._services = services
        self._callers = callers

    def table(self) -> list[tuple[str, list[str], Handler]]:
        return [
            ("/api/tokenize", ["POST"], self.tokenize),
            ("/api/detokenize", ["POST"], self.detokenize),
            ("/api/apply-template", ["POST"], self.apply_template),
            ("/api/count_tokens", ["POST"], self.count_tokens),
            ("/api/score", ["POST"], self.score),
            ("/api/rerank", ["POST"], self.rerank),
            ("/api/requests", ["GET"], self.requests),
            ("/api/requests/{id}", ["DELETE"], self.cancel),
            ("/api/capabilities", ["GET"], self.capabilities),
        ]

    async def tokenize(self, request: Request) -> Response:
        body = decode_body(await request.body(), schemas.Tokenize)
        found = await self._services.prompts.tokenize(
            body.model,
            body.text,
            files=self._callers.may_name_files(request),
            add_special=body.add_special,
            parse_special=body.parse_special,
        )
        return json_response(answers.tokens(body.model, found))

    async def detokenize(self, request: Request) -> Response:
        body = decode_body(await request.body(), schemas.Detokenize)
        files = self._callers.may_name_files(request)
        found = await self._services.prompts.detokenize(body.model, body.tokens, files=files)
        return json_response(answers.text(body.model, found))

    async def apply_template(self, request: Request) -> Response:
        return json_response(answers.prompt(*await self._prompt(request)))

    async def count_tokens(self, request: Request) -> Response:
        return json_response(answers.count(*await self._prompt(request)))

    async def _prompt(self, request: Request) -> tuple[str, ReadyPrompt]:
        """The model and the prompt of a body for ``/api/chat`` or ``/api/generate``."""
        data, caller = await request.body(), self._callers.of(request)
        chat = decode_body(data, Chat)
        if chat.messages:
            return chat.model, await self._services.chat.prompt(convert.chat(chat, caller))
        completion = decode_body(data, Generate)
        if not completion.prompt:
            raise InvalidRequest("messages or prompt is required", field="messages")
        wanted = convert.completion(completion, caller)
        return completion.model, await self._services.generate.prompt(wanted)

    async def score(self, request: Request) -> Response:
        body = decode_body(await request.body(), schemas.Score)
        wanted = ScoreRequest(
            model=body.model,
            files=self._callers.may_name_files(request),
            text=body.text,
            prompt=body.prompt,
            keep_alive=keep_alive(body.keep_alive),
            options=body.options,
        )
        found = await while_connected(request.receive, self._services.scoring.score(wanted))
        return json_response(answers.score(body.model, found))

    async def rerank(self, request: Request) -> Response:
        body = decode_body(await request.body(), schemas.Rerank)
        if not body.query or not body.documents:
            missing = "documents" if body.query else "query"
            raise InvalidRequest(f"{missing} is required", field=missing)
        wanted = RerankRequest(
            model=body.model,
            files=self._callers.may_name_files(request),
            query=body.query,
            documents=tuple(body.documents),
            keep_alive=keep_alive(body.keep_alive),
            options=body.options,
        )
        found = await while_connected(request.receive, self._services.scoring.rerank(wanted))
        return json_response(answers.ranking(body.model, found, body.top_n))

    async def requests(self, request: Request) -> Response:
        return json_response(answers.requests(self._services.requests.all()))

    async def cancel(self, request: Request) -> Response:
        await self._services.requests.cancel(request.path_params["id"])
        return Response(status_code=200)

    async def capabilities(self, request: Request) -> Response:
        routes = [route for route in request.app.routes if isinstance(route, APIRoute)]
        return json_response(
            answers.capabilities((route.path, route.methods or ()) for route in routes)
        )
