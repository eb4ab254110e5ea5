"""LoRA adapters: loaded when they are first asked for, applied when their turn comes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pyollama.errors import InvalidRequest, PyollamaError
from pyollama.types import Adapters

MOST = 16
"""Adapters that are kept in memory; the one that was applied longest ago goes first."""


class LoadedAdapter(Protocol):
    def close(self) -> None: ...


A = TypeVar("A", bound=LoadedAdapter)


class LoraAdapters(Generic[A]):
    """Those of one model. ``load`` reads a file, ``apply`` makes the model use just these.

    ``defaults`` are the files of the adapters that the model was loaded with; requests may also
    name them without folder and ending.
    """

    def __init__(
        self,
        load: Callable[[str], A],
        apply: Callable[[list[tuple[A, float]]], None],
        defaults: Sequence[str],
    ) -> None:
        self._load = load
        self._apply = apply
        self._defaults: Adapters = tuple((path, 1.0) for path in defaults)
        self._paths = {Path(path).stem: path for path in defaults}
        self._loaded: dict[str, A] = {}  # the one applied last comes last
        self._used: Adapters = ()
        self.use(None)

    def check(self, adapters: Adapters | None) -> None:
        """Load what is missing; ``InvalidRequest`` says what cannot be used."""
        for name, scale in adapters or ():
            if not math.isfinite(scale):
                raise InvalidRequest(f"adapters: {name}: scale {scale}", field="adapters")
            try:
                self._get(name)
            except PyollamaError as error:
                raise InvalidRequest(f"adapters: {error}", field="adapters") from error

    def use(self, adapters: Adapters | None) -> None:
        """Let the model compute with these from now on; ``None`` stands for the defaults."""
        wanted = self._defaults if adapters is None else adapters
        if wanted == self._used:
            return
        self._apply([(self._get(name), scale) for name, scale in wanted])
        self._used = wanted
        in_use = {self._path(name) for name, _ in wanted}
        spare = [path for path in self._loaded if path not in in_use]
        for path in spare[: max(len(self._loaded) - MOST, 0)]:
            self._loaded.pop(path).close()

    def close(self) -> None:
        for adapter in self._loaded.values():
            adapter.close()
        self._loaded.clear()

    def _path(self, name: str) -> str:
        return self._paths.get(name, name)

    def _get(self, name: str) -> A:
        path = self._path(name)
        adapter = self._loaded.pop(path, None) or self._load(path)
        self._loaded[path] = adapter
        return adapter
