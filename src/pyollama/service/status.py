"""What the server is doing at this moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from pyollama.engine.interface import EngineLike
from pyollama.errors import EngineError
from pyollama.runtime.devices import Hardware
from pyollama.runtime.pool import ModelPool
from pyollama.service.active import ActiveRequests
from pyollama.store.model import StoredModel
from pyollama.types import EngineInfo, EngineStats

_PATIENCE = 2.0
"""Seconds a worker may take to say how it is; a busy one takes milliseconds."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model in memory; ``info`` is missing while it loads, ``stats`` if it does not answer."""

    model: StoredModel
    info: EngineInfo | None = None
    stats: EngineStats | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """``waiting`` requests of at most ``max_waiting`` wait for a model to be loaded."""

    models: list[ModelStatus]
    waiting: int
    max_waiting: int
    active: int
    hardware: Hardware


class StatusService:
    """``hardware`` looks at the machine, which may block."""

    def __init__(
        self, pool: ModelPool, requests: ActiveRequests, hardware: Callable[[], Hardware]
    ) -> None:
        self._pool = pool
        self._requests = requests
        self._hardware = hardware

    async def status(self) -> Status:
        models, hardware = await asyncio.gather(self._models(), asyncio.to_thread(self._hardware))
        waiting, most = self._pool.queue
        return Status(models, waiting, most, len(self._requests.all()), hardware)

    async def _models(self) -> list[ModelStatus]:
        loaded = self._pool.engines()
        found = await asyncio.gather(*(_stats(engine) for _, engine in loaded))
        return [
            ModelStatus(model, engine.info if engine else None, stats)
            for (model, engine), stats in zip(loaded, found, strict=True)
        ]


async def _stats(engine: EngineLike | None) -> EngineStats | None:
    if engine is None:
        return None
    try:
        async with asyncio.timeout(_PATIENCE):
            return await engine.stats()
    except (TimeoutError, EngineError):
        return None
