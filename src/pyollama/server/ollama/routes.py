"""The routes of Ollama's API. Handlers read the body, call a service and wrap what it returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from pyollama import __version__
from pyollama.config import Settings
from pyollama.errors import BlobNotFound, CloudDisabled
from pyollama.server.body import T, decode_body
from pyollama.server.callers import Callers, wants_usage
from pyollama.server.ollama import convert, listing, schemas
from pyollama.server.ollama.frames import ChatFrames, GenerateFrames, ProgressFrames
from pyollama.server.ollama.status import status
from pyollama.server.streaming import answer, encode_json, json_response, while_connected
from pyollama.service.services import Services

Handler = Callable[[Request], Awaitable[Response]]


class OllamaRoutes:
    """Handlers over ``services``."""

    def __init__(self, services: Services, settings: Settings, callers: Callers) -> None:
        self._services = services
        self._settings = settings
        self._callers = callers

    def table(self) -> list[tuple[str, list[str], Handler]]:
        return [
            ("/", ["GET", "HEAD"], self.root),
            ("/api/version", ["GET", "HEAD"], self.version),
            ("/api/status", ["GET"], self.status),
            ("/api/generate", ["POST"], self.generate),
            ("/api/chat", ["POST"], self.chat),
            ("/api/embed", ["POST"], self.embed),
            ("/api/embeddings", ["POST"], self.embeddings),
            ("/api/tags", ["GET", "HEAD"], self.tags),
            ("/api/ps", ["GET"], self.ps),
            ("/api/show", ["POST"], self.show),
            ("/api/create", ["POST"], self.create),
            ("/api/copy", ["POST"], self.copy),
            ("/api/delete", ["DELETE"], self.delete),
            ("/api/blobs/{digest}", ["HEAD"], self.has_blob),
            ("/api/blobs/{digest}", ["POST"], self.put_blob),
            ("/api/pull", ["POST"], self.pull),
            ("/api/push", ["POST"], self.push),
            ("/api/experimental/web_search", ["POST"], self.web_search),
            ("/api/experimental/web_fetch", ["POST"], self.web_fetch),
        ]

    async def root(self, request: Request) -> Response:
        return Response("Ollama is running", headers={"content-type": "text/plain; charset=utf-8"})

    async def version(self, request: Request) -> Response:
        return json_response(encode_json({"version": __version__}))

    async def status(self, request: Request) -> Response:
        source = "env" if self._settings.no_cloud else "config"
        cloud = {"cloud": {"disabled": True, "source": source}}
        return json_response(encode_json(cloud | status(await self._services.status.status())))

    async def generate(self, request: Request) -> Response:
        body = await _read(request, schemas.Generate)
        wanted = convert.completion(body, self._callers.of(request))
        events = self._services.generate.answer(wanted)
        frames = GenerateFrames(body.model, with_usage=wants_usage(request))
        return answer(events, frames, stream=body.stream)

    async def chat(self, request: Request) -> Response:
        body = await _read(request, schemas.Chat)
        events = self._services.chat.answer(convert.chat(body, self._callers.of(request)))
        frames = ChatFrames(body.model, with_usage=wants_usage(request))
        return answer(events, frames, stream=body.stream)

    async def embed(self, request: Request) -> Response:
        wanted = convert.embedding(await _read(request, schemas.Embed), self._callers.of(request))
        work = self._services.embed.embed(wanted)
        embedded = await while_connected(request.receive, work)
        return json_response(listing.embeddings(wanted.model, embedded))

    async def embeddings(self, request: Request) -> Response:
        wanted = convert.old_embedding(
            await _read(request, schemas.Embeddings), self._callers.of(request)
        )
        work = self._services.embed.embed(wanted)
        embedded = await while_connected(request.receive, work)
        return json_response(listing.old_embedding(embedded))

    async def tags(self, request: Request) -> Response:
        return json_response(listing.tags(await self._services.models.stored()))

    async def ps(self, request: Request) -> Response:
        return json_response(listing.running(self._services.models.running()))

    async def show(self, request: Request) -> Response:
        body = await _read(request, schemas.Show)
        shown = await self._services.models.show(
            body.wanted,
            verbose=body.verbose,
            system=body.system,
            options=body.options,
            files=self._callers.may_name_files(request),
        )
        # This editor lists models under their base names, so it is told the name it asked for.
        editor = request.headers.get("user-agent", "").startswith("GitHubCopilotChat/")
        return json_response(listing.details(shown, basename=body.wanted if editor else ""))

    async def create(self, request: Request) -> Response:
        body = await _read(request, schemas.Create)
        events = self._services.models.create(convert.creation(body))
        return answer(events, ProgressFrames(), stream=body.stream)

    async def copy(self, request: Request) -> Response:
        body = await _read(request, schemas.Copy)
        await self._services.models.copy(body.source, body.destination)
        return Response(status_code=200)

    async def delete(self, request: Request) -> Response:
        body = await _read(request, schemas.Named)
        await self._services.models.delete(body.wanted)
        return Response(status_code=200)

    async def has_blob(self, request: Request) -> Response:
        digest = request.path_params["digest"]
        if not await self._services.models.has_blob(digest):
            raise BlobNotFound(f"blob {digest} is not in the store", digest=digest)
        return Response(status_code=200)

    async def put_blob(self, request: Request) -> Response:
        digest = request.path_params["digest"]
        if path := self._callers.named_file(request):
            created = await self._services.models.take_blob(digest, path)
        else:
            created = await self._services.models.put_blob(digest, request.stream())
        return Response(status_code=201 if created else 200)

    async def pull(self, request: Request) -> Response:
        body = await _read(request, schemas.Transfer)
        events = self._services.transfers.pull(convert.transfer(body))
        return answer(events, ProgressFrames(), stream=body.stream)

    async def push(self, request: Request) -> Response:
        body = await _read(request, schemas.Transfer)
        events = self._services.transfers.push(convert.transfer(body))
        return answer(events, ProgressFrames(), stream=body.stream)

    async def web_search(self, request: Request) -> Response:
        raise CloudDisabled("ollama cloud is disabled: web search is unavailable")

    async def web_fetch(self, request: Request) -> Response:
        raise CloudDisabled("ollama cloud is disabled: web fetch is unavailable")


async def _read(request: Request, schema: type[T]) -> T:
    return decode_body(await request.body(), schema)
