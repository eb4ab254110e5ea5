"""The tiers of one engine: between its KV sequences and where their prefixes are kept."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pyollama.engine.backend import Backend, S
from pyollama.engine.spec import LoadSpec
from pyollama.engine.tiers.disk import DiskTier
from pyollama.engine.tiers.host import HostTier
from pyollama.engine.tiers.identity import file_identity, layout
from pyollama.engine.tiers.pieces import SIZE, root
from pyollama.engine.tiers.tiers import Part, Tiers
from pyollama.errors import PyollamaError
from pyollama.types import Adapters

log = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
"""How long the end of an engine may take to write what the disk lacks. A worker has twice that."""


class Keeper:
    """Implements :class:`~pyollama.engine.tier.Tier` on a backend."""

    def __init__(self, backend: Backend[S], tiers: Tiers) -> None:
        self._backend = backend
        self._tiers = tiers
        self._whole = not backend.limits.part
        self._until: float | None = None
        self._ahead: dict[int, tuple[tuple[bytes, array[int]], Iterator[None]]] = {}
        self._scopes: dict[Adapters, bytes] = {}

    def match(self, tokens: array[int], limit: int, adapters: Adapters | None) -> int:
        return self._tiers.match(tokens, limit, scope=self._scope(adapters))

    def keep(self, sequence: int, tokens: array[int], adapters: Adapters | None) -> None:
        if self._until is None or self._tiers.durable:
            save, scope = partial(self._save, sequence), self._scope(adapters)
            self._tiers.offer(tokens, save, scope=scope, until=self._until)

    def prepare(self, sequence: int, tokens: array[int], adapters: Adapters | None) -> bool:
        save, scope = partial(self._save, sequence), self._scope(adapters)
        known = self._ahead.get(sequence)
        if known is None or known[0] != (scope, tokens):
            held = tokens[:]
            known = (scope, held), self._tiers.ahead(held, save, scope=scope)
            self._ahead[sequence] = known
        return next(known[1], self) is not self

    def _save(self, sequence: int, start: int, stop: int) -> bytes:
        if self._whole:
            return self._backend.save(sequence)
        return self._backend.save_part(sequence, start, stop)

    def fetch(
        self, sequence: int, tokens: array[int], start: int, adapters: Adapters | None
    ) -> int:
        held = start
        scope = self._scope(adapters)
        for part in self._tiers.take(tokens, start, len(tokens), scope=scope):
            try:
                self._put_back(sequence, part)
            except PyollamaError as error:
                log.warning("%d tokens could not be restored: %s", part.stop - part.start, error)
                if part.complete:  # another one might only have lacked room for the rest of it
                    self._tiers.drop(part.piece)
                break
            held = part.stop
        return held

    def _put_back(self, sequence: int, part: Part) -> None:
        if self._whole:
            self._backend.restore(sequence, part.state)
        else:
            self._backend.restore_part(sequence, part.state, part.start, part.stop)

    def _scope(self, adapters: Adapters | None) -> bytes:
        """What sets prefixes apart that were computed with a request's own adapters."""
        if adapters is None:
            return b""
        if adapters not in self._scopes:
            parts = (fact for name, scale in adapters for fact in (_identity(name), b"%r" % scale))
            self._scopes[adapters] = root(*parts)
        return self._scopes[adapters]

    def hurry(self) -> None:
        self._until = time.monotonic() + FLUSH_SECONDS

    def close(self) -> None:
        self._tiers.close(self._until or time.monotonic() + FLUSH_SECONDS)


def _identity(adapter: str) -> bytes:
    """An adapter is named by its file, or by a name that the files of the layout explain."""
    try:
        return file_identity(Path(adapter))
    except OSError:
        return adapter.encode()


def keeper_for(spec: LoadSpec, backend: Backend[S]) -> Keeper | None:
    """The tiers that ``spec`` asks for; ``None`` for none."""
    if backend.info.embeddings or not (spec.prefix_ram or spec.prefix_disk):
        return None
    try:
        key = layout([spec.path, *spec.adapters], backend.layout)
    except OSError as error:
        log.warning("prefixes are not kept: %s", error)
        return None
    disk = DiskTier(Path(spec.prefix_dir), key, spec.prefix_disk) if spec.prefix_disk else None
    if disk is not None and not disk.open():
        disk = None
    if disk is None and not spec.prefix_ram:
        return None
    tiers = Tiers(key, HostTier(spec.prefix_ram), disk, size=min(SIZE, backend.limits.part))
    return Keeper(backend, tiers)
