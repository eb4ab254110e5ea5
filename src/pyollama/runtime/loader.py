"""From a model in the store to a running worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from pyollama.engine.interface import EngineLike
from pyollama.engine.spec import LoadSpec
from pyollama.errors import ModelLoadError, PyollamaError
from pyollama.runtime import devices
from pyollama.runtime.devices import Hardware
from pyollama.runtime.facts import ModelFacts
from pyollama.runtime.fit import Placement, Policy, Wish, default_context, fit
from pyollama.store.elsewhere import parts_of
from pyollama.store.gguf import read_gguf
from pyollama.store.model import StoredModel
from pyollama.types import LoadOptions
from pyollama.worker.health import WorkerLimits
from pyollama.worker.proxy import WorkerProxy

_MODELS_PER_DEVICE = 3


class StartEngine(Protocol):
    async def __call__(
        self, spec: LoadSpec, *, on_death: Callable[[], None], limits: WorkerLimits
    ) -> EngineLike: ...


class ModelLoader:
    """Implements :class:`~pyollama.runtime.pool.Loader`."""

    def __init__(
        self,
        policy: Policy,
        limits: WorkerLimits,
        *,
        hardware: Callable[[], Hardware] = devices.hardware,
        start: StartEngine = WorkerProxy.start,
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._hardware = hardware
        self._start = start

    @cached_property
    def _at_first(self) -> Hardware:
        """What does not change is decided by the first look at the machine."""
        return self._hardware()

    @cached_property
    def _default_context(self) -> int:
        return default_context(self._policy, self._at_first)

    @property
    def max_models(self) -> int:
        """How many models to hold at a time, where the settings do not say."""
        return _MODELS_PER_DEVICE * max(1, len(self._at_first.gpus))

    def wish(self, model: StoredModel, options: LoadOptions) -> Wish:
        if model.model_path is None:
            raise ModelLoadError(f"model '{model.name.short}' has no weights on this machine")
        return Wish(
            path=str(model.model_path),
            adapters=tuple(map(str, model.adapter_paths)),
            n_ctx=options.num_ctx or self._default_context,
            automatic=not options.num_ctx,
            options=options,
            draft=str(model.draft_path or ""),
        )

    def place(
        self,
        model: StoredModel,
        wish: Wish,
        loading: Sequence[Placement],
        loaded: Sequence[Placement],
    ) -> Placement:
        facts = ModelFacts.read(model.metadata, _size([wish.path, *wish.adapters]))
        if wish.draft:
            facts = _with_draft(facts, wish.draft)
        hardware = self._hardware()
        return fit(facts, wish, self._policy, hardware, loading=loading, loaded=loaded)

    async def start(self, placement: Placement, on_death: Callable[[], None]) -> EngineLike:
        return await self._start(placement.spec, on_death=on_death, limits=self._limits)


def _with_draft(facts: ModelFacts, path: str) -> ModelFacts:
    try:
        draft = ModelFacts.read(read_gguf(Path(path)).metadata, _size([path]))
    except PyollamaError:
        return facts  # the engine does without it, and says so
    return facts.beside(draft)


def _size(paths: Sequence[str]) -> int:
    try:
        return sum(part.stat().st_size for path in paths for part in parts_of(Path(path)))
    except OSError as error:
        raise ModelLoadError(f"the model's files cannot be read: {error}") from error
