"""Stand-ins for the store and the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pyollama.engine.spec import LoadSpec
from pyollama.errors import OutOfMemory
from pyollama.runtime.fit import Placement, Wish
from pyollama.store.manifest import Layer, Manifest
from pyollama.store.model import StoredModel
from pyollama.store.model_config import ModelConfig
from pyollama.store.name import Name
from pyollama.types import (
    ContextShifted,
    Embedded,
    EmbedRequest,
    EngineInfo,
    EngineStats,
    Finished,
    GenerateRequest,
    LoadOptions,
    Tokens,
    Usage,
)

TRAINED = 8192
DEFAULT = 4096


def stored(name: str, weights: str = "", adapters: Sequence[str] = ()) -> StoredModel:
    return StoredModel(
        name=Name.parse(name),
        digest="0" * 64,
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
        manifest=Manifest(
            config=Layer(media_type="", digest="sha256:" + "0" * 64, size=0), layers=()
        ),
        config=ModelConfig(),
        model_path=Path(weights or f"/{name}.gguf"),
        adapter_paths=tuple(map(Path, adapters)),
    )


class FakeEngine:
    def __init__(self, spec: LoadSpec, on_death: Callable[[], None]) -> None:
        self.info = EngineInfo(
            n_ctx=min(spec.n_ctx, TRAINED),
            n_ctx_train=TRAINED,
            n_slots=1,
            n_vocab=10,
            n_embd=4,
            size=1000,
            size_vram=0,
            can_shift=True,
            embeddings=False,
        )
        self.spec = spec
        self.die = on_death
        self.closed = 0

    async def generate(
        self, request: GenerateRequest
    ) -> AsyncGenerator[Tokens | ContextShifted | Finished, None]:
        yield Finished(request.id, "stop", Usage())

    async def embed(self, request: EmbedRequest) -> Embedded:
        return Embedded(request.id, b"", 0, Usage())

    async def stats(self) -> EngineStats:
        return EngineStats(waiting=0, running=0, slots=1, cells_used=0, cells=0, steps=0)

    async def close(self) -> None:
        self.closed += 1
        await asyncio.sleep(0)


@dataclass
class FakeLoader:
    """Loads when ``gate`` is open, into a memory that holds ``room`` models."""

    room: int = 100
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    engines: list[FakeEngine] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    def wish(self, model: StoredModel, options: LoadOptions) -> Wish:
        return Wish(
            path=str(model.model_path),
            adapters=tuple(map(str, model.adapter_paths)),
            n_ctx=options.num_ctx or DEFAULT,
            automatic=not options.num_ctx,
            options=options,
        )

    def place(
        self,
        model: StoredModel,
        wish: Wish,
        loading: Sequence[Placement],
        loaded: Sequence[Placement],
    ) -> Placement:
        if len(loading) + len(loaded) >= self.room:
            raise OutOfMemory("full")
        return Placement(LoadSpec(path=wish.path, n_ctx=wish.n_ctx), ram=1, vram=0, mapped=0)

    async def start(self, placement: Placement, on_death: Callable[[], None]) -> FakeEngine:
        path = placement.spec.path
        self.started.append(path)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(path)
            raise
        if self.failures:
            raise self.failures.pop(0)
        engine = FakeEngine(placement.spec, on_death)
        self.engines.append(engine)
        return engine
