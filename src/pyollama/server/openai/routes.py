"""The routes of OpenAI's API. Handlers read the body, call a service and wrap what it returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from pyollama.errors import InvalidRequest
from pyollama.server.callers import Callers
from pyollama.server.openai import convert, listing, schemas
from pyollama.server.openai.bodies import read
from pyollama.server.openai.completion_frames import CompletionFrames
from pyollama.server.openai.frames import ChatFrames
from pyollama.server.streaming import answer_events, json_response, while_connected
from pyollama.service.choices import one_call, several
from pyollama.service.demanded import demanded
from pyollama.service.services import Services

Handler = Callable[[Request], Awaitable[Response]]


class OpenAIRoutes:
    """Handlers over ``services``."""

    def __init__(self, services: Services, callers: Callers) -> None:
        self._services = services
        self._callers = callers

    def table(self) -> list[tuple[str, list[str], Handler]]:
        return [
            ("/v1/chat/completions", ["POST"], self.chat_completions),
            ("/v1/completions", ["POST"], self.completions),
            ("/v1/embeddings", ["POST"], self.embeddings),
            ("/v1/models", ["GET"], self.models),
            ("/v1/models/{model:path}", ["GET"], self.model),
        ]

    async def chat_completions(self, request: Request) -> Response:
        body = await read(request, schemas.ChatCompletion)
        wanted = convert.chat(body, self._callers.of(request))
        usage = body.stream_options.include_usage
        frames = ChatFrames(body.model, len(wanted), include_usage=usage)
        ask = self._services.chat.answer
        if convert.must_call(body):
            ask = partial(demanded, ask)
        elif not body.parallel_tool_calls:
            ask = partial(one_call, ask)
        return answer_events(several(ask, wanted), frames, stream=body.stream)

    async def completions(self, request: Request) -> Response:
        body = await read(request, schemas.Completion)
        wanted = convert.completions(body, self._callers.of(request))
        frames = CompletionFrames(
            body.model,
            prompts=len(wanted.requests) // wanted.tried,
            n=wanted.n,
            tried=wanted.tried,
            echo=wanted.echo,
            logprobs=body.logprobs is not None,
            include_usage=body.stream_options.include_usage,
        )
        events = several(self._services.generate.answer, wanted.requests)
        return answer_events(events, frames, stream=body.stream)

    async def embeddings(self, request: Request) -> Response:
        body = await read(request, schemas.Embeddings)
        wanted = convert.embeddings(body, self._callers.of(request))
        work = self._services.embed.embed(wanted)
        embedded = await while_connected(request.receive, work)
        width = embedded.vectors.shape[1]
        if wanted.dimensions > width:
            raise InvalidRequest(
                f"dimensions: the vectors of this model have {width}", field="dimensions"
            )
        as_base64 = body.encoding_format.lower() == "base64"
        return json_response(listing.embeddings(body.model, embedded, as_base64=as_base64))

    async def models(self, request: Request) -> Response:
        return json_response(listing.models(await self._services.models.stored()))

    async def model(self, request: Request) -> Response:
        asked = request.path_params["model"]
        files = self._callers.may_name_files(request)
        found = await self._services.models.find(asked, files=files)
        return json_response(listing.model(asked, found.modified_at, found.name.namespace))
