"""The routes of OpenAI's API. Handlers read the body, call a service and wrap what it returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from pyollama.config import Settings
from pyollama.server.callers import Callers
from pyollama.server.openai import listing
from pyollama.server.streaming import json_response
from pyollama.service.services import Services

Handler = Callable[[Request], Awaitable[Response]]


class OpenAIRoutes:
    """Handlers over ``services``."""

    def __init__(self, services: Services, settings: Settings) -> None:
        self._services = services
        self._callers = Callers(settings.files)

    def table(self) -> list[tuple[str, list[str], Handler]]:
        return [
            ("/v1/models", ["GET"], self.models),
            ("/v1/models/{model:path}", ["GET"], self.model),
        ]

    async def models(self, request: Request) -> Response:
        return json_response(listing.models(await self._services.models.stored()))

    async def model(self, request: Request) -> Response:
        asked = request.path_params["model"]
        files = self._callers.may_name_files(request)
        found = await self._services.models.find(asked, files=files)
        return json_response(listing.model(asked, found.modified_at, found.name.namespace))
