"""What every engine offers, whether it runs in this process or in a worker."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from pyollama.types import (
    ContextShifted,
    Embedded,
    EmbedRequest,
    EngineInfo,
    EngineStats,
    Finished,
    GenerateRequest,
    Tokens,
)


class EngineLike(Protocol):
    """One loaded model."""

    @property
    def info(self) -> EngineInfo: ...

    def generate(
        self, request: GenerateRequest
    ) -> AsyncGenerator[Tokens | ContextShifted | Finished, None]:
        """Events of one request, ending with exactly one :class:`Finished`.

        A failure is raised as its exception; closing or cancelling the iterator aborts the request.
        """
        ...

    async def embed(self, request: EmbedRequest) -> Embedded: ...

    async def stats(self) -> EngineStats: ...

    async def close(self) -> None:
        """Free the model; running requests end with ``EngineClosed``."""
        ...
