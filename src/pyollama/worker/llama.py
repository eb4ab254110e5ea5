"""What the worker computes with: the engine over llama.cpp."""

from __future__ import annotations

from pyollama import _native
from pyollama.engine.engine import EngineCore
from pyollama.engine.loop import Sink
from pyollama.engine.spec import LoadSpec


class LlamaLoading:
    def __init__(self) -> None:
        self._progress = _native.LoadProgress()

    @property
    def value(self) -> float:
        return self._progress.value

    def run(self, spec: LoadSpec, sink: Sink) -> EngineCore:
        return EngineCore.load(spec, sink, self._progress)


class Llama:
    def loading(self) -> LlamaLoading:
        return LlamaLoading()

    def drain_log(self) -> list[tuple[int, str]]:
        return _native.drain_log()
