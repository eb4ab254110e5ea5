"""The models on disk and in memory: list, show, make, copy, delete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pyollama.chat.names import check_names
from pyollama.errors import InvalidOption, InvalidRequest, ModelLoadError, TemplateError
from pyollama.runtime.pool import ModelPool
from pyollama.service.library import find_to_show, refuse_cloud
from pyollama.service.options import merge
from pyollama.service.steps import stepwise
from pyollama.service.texts import TextSides
from pyollama.store.blobs import BlobWriter
from pyollama.store.model import StoredModel
from pyollama.store.parameters import format_parameters
from pyollama.store.show import FileInfo, file_info, model_info, modelfile_text
from pyollama.store.store import Store
from pyollama.types import CreateRequest, Progress

#: Uploads go to disk in pieces of this many bytes.
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model in the store, and what it can do."""

    model: StoredModel
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownModel:
    """A model in full. ``template`` is the one that prompts are made with, Jinja or Go.

    ``context_length`` is what a request gets that does not ask for another; 0 if the model cannot
    be run, or only little was asked.
    """

    model: StoredModel
    modelfile: str
    parameters: str
    system: str
    template: str
    capabilities: tuple[str, ...]
    info: FileInfo
    projector: FileInfo | None
    context_length: int = 0


@dataclass(frozen=True, slots=True)
class RunningModel:
    """A model in memory. Sizes are bytes; one that stays for ever has no ``expires_at``."""

    model: StoredModel
    size: int
    size_vram: int
    context_length: int
    expires_at: datetime | None


class ModelService:
    """What can be done with models besides running them."""

    def __init__(self, store: Store, pool: ModelPool, texts: TextSides) -> None:
        self._store = store
        self._pool = pool
        self._texts = texts

    async def stored(self) -> list[ListedModel]:
        """All models, newest first."""
        return await asyncio.to_thread(self._stored)

    def _stored(self) -> list[ListedModel]:
        return [ListedModel(model, self._listed(model)) for model in self._store.list()]

    def _listed(self, model: StoredModel) -> tuple[str, ...]:
        """Without a look into Jinja templates, and what every chat model can do in front."""
        found = self._texts.capabilities(model, look_into_jinja=False)
        return tuple(sorted(found, key=lambda capability: capability != "completion"))

    def running(self) -> list[RunningModel]:
        """The models in memory, the one that stays longest first."""
        return [
            RunningModel(
                model=entry.model,
                size=entry.size,
                size_vram=entry.size_vram,
                context_length=entry.context_length,
                expires_at=entry.expires_at,
            )
            for entry in self._pool.ps()
        ]

    async def find(self, name: str, *, files: bool = False) -> StoredModel:
        """The model that ``name`` means; with ``files`` it may be a file of this machine."""
        _require(name)
        return await find_to_show(self._store, name, files=files)

    async def show(
        self,
        name: str,
        *,
        verbose: bool = False,
        system: str = "",
        options: Mapping[str, Any] | None = None,
        files: bool = False,
    ) -> ShownModel:
        """``system`` and ``options`` go on top of what the Modelfile says.

        With ``files`` the model may be a file of this machine.
        """
        _require(name)
        model = await find_to_show(self._store, name, files=files)
        shown = await asyncio.to_thread(self._shown, model, verbose, system, options or {})
        return replace(shown, context_length=self._context(model)) if verbose else shown

    def _context(self, model: StoredModel) -> int:
        """0 for what cannot be run, be it for its parameters."""
        with suppress(InvalidOption, ModelLoadError):
            return self._pool.context_of(model, merge(model.params, {}).load)[0]
        return 0

    def _shown(
        self, model: StoredModel, verbose: bool, system: str, options: Mapping[str, Any]
    ) -> ShownModel:
        projector = model.projector_paths[0] if model.projector_paths else None
        return ShownModel(
            model=model,
            modelfile=modelfile_text(model, system=system, options=options),
            parameters=format_parameters(model.params),
            system=system or model.system,
            template=self._texts.template(model),
            capabilities=self._texts.capabilities(model),
            info=model_info(model, verbose=verbose),
            projector=file_info(projector, verbose=verbose) if projector else None,
        )

    async def create(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        """Make a model; closing the iterator gives it up."""
        check_names(request.renderer, request.parser)
        try:
            async with aclosing(stepwise(self._store.create(request))) as steps:
                async for step in steps:
                    yield step
        except TemplateError as error:
            raise InvalidRequest(error.message, field="template") from error

    async def copy(self, source: str, destination: str) -> None:
        await asyncio.to_thread(self._store.copy, source, destination)

    async def delete(self, name: str) -> None:
        _require(name)
        refuse_cloud(name)
        await asyncio.to_thread(self._store.delete, name)

    async def has_blob(self, digest: str) -> bool:
        return await asyncio.to_thread(self._store.blobs.has, digest)

    async def put_blob(self, digest: str, chunks: AsyncIterator[bytes]) -> bool:
        """Store an upload under its digest; ``False``, and nothing is read, if it is there."""
        if await self.has_blob(digest):
            return False
        writer = await asyncio.to_thread(self._store.blobs.writer)
        try:
            await _write(writer, chunks)
            await asyncio.to_thread(writer.commit, digest)
        finally:
            await asyncio.to_thread(writer.abort)
        return True

    async def take_blob(self, digest: str, path: str) -> bool:
        """As :meth:`put_blob`, but of a file of this machine, which costs no space where it can."""
        if not Path(path).is_absolute():
            raise InvalidRequest(f"{path!r} is not an absolute path", field="path")
        if await self.has_blob(digest):
            return False
        return await asyncio.to_thread(self._store.blobs.take_over, Path(path), digest)


async def _write(writer: BlobWriter, chunks: AsyncIterator[bytes]) -> None:
    piece = bytearray()
    async for chunk in chunks:
        piece += chunk
        if len(piece) >= _PIECE:
            await asyncio.to_thread(writer.write, piece)
            piece = bytearray()
    await asyncio.to_thread(writer.write, piece)


def _require(name: str) -> None:
    if not name:
        raise InvalidRequest("model is required", field="model")
