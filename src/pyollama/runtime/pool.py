"""The models in memory: loaded once each, leased to requests, kept a while, given up for others.

Belongs to one event loop. There is no lock around the table: it only changes between two awaits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from pyollama.engine.interface import EngineLike
from pyollama.errors import Busy, EngineClosed, OutOfMemory
from pyollama.runtime.fit import Placement, Wish
from pyollama.store.model import StoredModel
from pyollama.types import EngineInfo, LoadOptions

_log = logging.getLogger(__name__)
_FOR_EVER = 100 * 365 * 86400.0


class Loader(Protocol):
    """How models get into memory."""

    def wish(self, model: StoredModel, options: LoadOptions) -> Wish:
        """What a request for ``model`` wants loaded; at once, without looking at the disk."""
        ...

    def place(
        self,
        model: StoredModel,
        wish: Wish,
        loading: Sequence[Placement],
        loaded: Sequence[Placement],
    ) -> Placement:
        """Where there is room for it now; may block. See :func:`~pyollama.runtime.fit.fit`."""
        ...

    async def start(self, placement: Placement, on_death: Callable[[], None]) -> EngineLike:
        """Load. ``on_death`` is called if the engine ends without having been closed."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What a lease gives. ``n_ctx`` is this request's context, ``load_duration`` nanoseconds."""

    engine: EngineLike
    n_ctx: int
    load_duration: int


@dataclass(frozen=True, slots=True)
class RunningModel:
    """A model in memory. ``model`` is the one it was loaded for; it may be deleted by now."""

    model: StoredModel
    size: int
    size_vram: int
    context_length: int
    expires_at: datetime | None


@dataclass(slots=True, eq=False)
class _Entry:
    """One loaded model, or one that is being loaded or unloaded."""

    model: StoredModel
    wish: Wish
    keep_alive: float
    ready: asyncio.Future[EngineLike]
    loading: asyncio.Task[EngineLike] | None = None
    placement: Placement | None = None
    engine: EngineLike | None = None
    leases: int = 0
    last_used: float = 0.0
    expires_at: datetime | None = None
    timer: asyncio.TimerHandle | None = None
    retiring: bool = False  # takes no more leases
    closing: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def meets(self, wish: Wish) -> bool:
        assert self.engine is not None  # only asked when it is ready
        info = self.engine.info
        return wish.met_by(self.wish, n_ctx=info.n_ctx, n_ctx_train=info.n_ctx_train)

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class ModelPool:
    """``keep_alive`` is in seconds and holds until a request brings its own; negative: for ever.

    ``max_loaded`` models are in memory at a time, and ``max_queue`` requests may wait for one.
    """

    def __init__(
        self,
        loader: Loader,
        *,
        keep_alive: float = 300.0,
        max_loaded: int = 3,
        max_queue: int = 512,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._loader = loader
        self._keep_alive = keep_alive
        self._max_loaded = max_loaded
        self._max_queue = max_queue
        self._now = now
        self._entries: dict[tuple[str, ...], _Entry] = {}
        self._placing = asyncio.Lock()  # who holds it decides about free memory
        self._waiting = 0
        self._unloads: set[asyncio.Task[None]] = set()
        self._closed = False

    # --- for requests ---------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(
        self, model: StoredModel, options: LoadOptions, keep_alive: float | None = None
    ) -> AsyncIterator[LoadedModel]:
        """Have ``model`` in memory for the time of the context.

        Loads it if need be. When the caller is cancelled meanwhile and nobody else waits for it,
        the load is given up.
        """
        began = time.perf_counter_ns()
        wish = self._loader.wish(model, options)
        entry, engine = await self._acquire(model, wish)
        try:
            if keep_alive is not None:
                entry.keep_alive = keep_alive
            n_ctx = min(wish.n_ctx, engine.info.n_ctx)
            yield LoadedModel(engine, n_ctx, time.perf_counter_ns() - began)
        finally:
            self._release(entry)

    def ps(self) -> list[RunningModel]:
        """What is in memory, the one that stays longest first."""
        now = self._now()
        rows = [
            RunningModel(
                model=entry.model,
                size=entry.engine.info.size,
                size_vram=entry.engine.info.size_vram,
                context_length=entry.engine.info.n_ctx,
                expires_at=_expiry(now, entry.keep_alive) if entry.leases else entry.expires_at,
            )
            for entry in self._entries.values()
            if entry.engine is not None and (entry.leases or not entry.retiring)
        ]
        far = now + timedelta(seconds=2 * _FOR_EVER)
        return sorted(rows, key=lambda row: row.expires_at or far, reverse=True)

    @property
    def queue(self) -> tuple[int, int]:
        """How many requests wait for a model to be loaded, and how many may."""
        return self._waiting, self._max_queue

    def engines(self) -> list[tuple[StoredModel, EngineLike | None]]:
        """What is in memory, or on its way: then there is no engine yet."""
        return [(entry.model, entry.engine) for entry in self._entries.values()]

    def context_of(self, model: StoredModel, options: LoadOptions) -> tuple[int, EngineInfo | None]:
        """The context that a request would have now, and the engine if it is loaded already.

        What is not loaded yet may get less, where memory is short.
        """
        wish = self._loader.wish(model, options)
        entry = self._entries.get(wish.key)
        if entry and entry.engine and not entry.retiring and entry.meets(wish):
            return min(wish.n_ctx, entry.engine.info.n_ctx), entry.engine.info
        return min(wish.n_ctx, model.details.context_length or wish.n_ctx), None

    def expire(self, model: StoredModel) -> None:
        """Unload the weights of ``model`` as soon as no request uses them."""
        wish = self._loader.wish(model, LoadOptions())
        if (entry := self._entries.get(wish.key)) is not None:
            self._retire(entry)

    async def close(self, grace: float = 0.0) -> None:
        """Unload everything. Requests get ``grace`` seconds to end by themselves."""
        self._closed = True
        for entry in list(self._entries.values()):
            self._retire(entry)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._all_gone()
        for entry in list(self._entries.values()):
            self._unload(entry)
        await self._all_gone()
        await asyncio.gather(*self._unloads)

    async def _all_gone(self) -> None:
        for entry in list(self._entries.values()):
            await entry.gone.wait()

    # --- leases ---------------------------------------------------------------------------------

    async def _acquire(self, model: StoredModel, wish: Wish) -> tuple[_Entry, EngineLike]:
        """Take a lease on an entry that meets ``wish``, at once if there is one."""
        entry = self._entries.get(wish.key)
        if entry and entry.engine and not entry.retiring and entry.meets(wish):
            self._take(entry)
            return entry, entry.engine
        if self._waiting >= self._max_queue:
            raise Busy(
                "server busy, please try again.  maximum pending requests exceeded",
                hint="raise OLLAMA_MAX_QUEUE or send fewer requests at a time",
            )
        self._waiting += 1
        try:
            while True:
                if (found := await self._wait_for(model, wish)) is not None:
                    return found
        finally:
            self._waiting -= 1

    async def _wait_for(self, model: StoredModel, wish: Wish) -> tuple[_Entry, EngineLike] | None:
        """Bring an entry one step nearer; None if there is more to do."""
        if self._closed:
            raise EngineClosed("the server is shutting down")
        entry = self._entries.get(wish.key) or self._begin(model, wish)
        if entry.retiring:
            await entry.gone.wait()
            return None
        self._take(entry)
        try:
            engine = await asyncio.shield(entry.ready)
        except BaseException:
            self._release(entry)
            raise
        if not entry.gone.is_set() and entry.meets(wish):
            return entry, engine
        _log.info("%s is loaded again for other options", model.name.short)
        self._retire(entry)
        self._release(entry)
        return None

    def _take(self, entry: _Entry) -> None:
        entry.leases += 1
        entry.stop_timer()

    def _release(self, entry: _Entry) -> None:
        entry.leases -= 1
        if entry.leases or entry.gone.is_set():
            return
        entry.last_used = asyncio.get_running_loop().time()
        entry.expires_at = _expiry(self._now(), entry.keep_alive)
        if entry.retiring or entry.engine is None or entry.keep_alive == 0:
            self._retire(entry)
        elif entry.expires_at is not None:
            loop = asyncio.get_running_loop()
            entry.timer = loop.call_later(entry.keep_alive, self._retire, entry)

    # --- loading --------------------------------------------------------------------------------

    def _begin(self, model: StoredModel, wish: Wish) -> _Entry:
        loop = asyncio.get_running_loop()
        entry = _Entry(model, wish, self._keep_alive, loop.create_future())
        self._entries[wish.key] = entry
        entry.loading = loop.create_task(self._load(entry), name=f"load-{model.name.short}")
        entry.loading.add_done_callback(partial(self._finish_load, entry))
        return entry

    def _finish_load(self, entry: _Entry, task: asyncio.Task[EngineLike]) -> None:
        """Tell all who wait. A task that fails has left nothing in memory."""
        if task.cancelled():
            error: BaseException | None = EngineClosed("the load was given up")
        else:
            error = task.exception()
        if error is None:
            entry.engine = task.result()
            entry.ready.set_result(entry.engine)
            if self._closed:
                self._unload(entry)
            elif not entry.leases:
                self._retire(entry)
            return
        self._drop(entry)
        entry.ready.set_exception(error)
        entry.ready.exception()  # with nobody left to wait, it is no news

    async def _load(self, entry: _Entry) -> EngineLike:
        """Load ``entry``; where memory runs out, at the cost of other models."""
        while True:
            try:
                async with self._placing:
                    entry.placement = await self._place(entry)
                return await self._loader.start(
                    entry.placement, on_death=partial(self._bury, entry)
                )
            except OutOfMemory:
                entry.placement = None
                if not await self._make_room(entry):
                    raise

    async def _place(self, entry: _Entry) -> Placement:
        while True:
            others = self._others(entry)
            if len(others) >= self._max_loaded:
                await self._make_room(entry)
                continue
            loading = [each.placement for each in others if each.placement and not each.engine]
            loaded = [each.placement for each in others if each.placement and each.engine]
            try:
                return await asyncio.to_thread(
                    self._loader.place, entry.model, entry.wish, loading, loaded
                )
            except OutOfMemory:
                if not await self._make_room(entry):
                    raise

    def _others(self, entry: _Entry) -> list[_Entry]:
        """The other entries that take up memory."""
        return [
            each
            for each in self._entries.values()
            if each is not entry and (each.engine is not None or each.placement is not None)
        ]

    async def _make_room(self, entry: _Entry) -> bool:
        """Wait until one model less is in memory; False if ``entry`` is the only one."""
        others = self._others(entry)
        loaded = [each for each in others if each.engine is not None]
        if loaded:
            victim = min(loaded, key=_worth)
            _log.info("%s has to make room for %s", victim.model.name.short, entry.model.name.short)
            self._retire(victim)
            await victim.gone.wait()
        elif others:
            await asyncio.wait([each.ready for each in others], return_when="FIRST_COMPLETED")
        return bool(others)

    # --- unloading ------------------------------------------------------------------------------

    def _retire(self, entry: _Entry) -> None:
        """No more leases; unload when the last one ends."""
        entry.retiring = True
        entry.stop_timer()
        if not entry.leases:
            self._unload(entry)

    def _unload(self, entry: _Entry) -> None:
        if entry.engine is None:
            if entry.loading is not None:
                entry.loading.cancel()
        elif not entry.closing:
            entry.closing = True
            task = asyncio.get_running_loop().create_task(self._close_engine(entry, entry.engine))
            self._unloads.add(task)
            task.add_done_callback(self._unloads.discard)

    async def _close_engine(self, entry: _Entry, engine: EngineLike) -> None:
        try:
            await engine.close()
        finally:
            self._drop(entry)

    def _bury(self, entry: _Entry) -> None:
        """The engine died: forget it, so that the next request gets a new one."""
        entry.stop_timer()
        self._unload(entry)
        self._drop(entry)

    def _drop(self, entry: _Entry) -> None:
        if self._entries.get(entry.wish.key) is entry:
            del self._entries[entry.wish.key]
        entry.gone.set()


def _worth(entry: _Entry) -> tuple[bool, bool, float, float]:
    """The least goes first: what goes anyway, idle before busy, short keep-alive, long unused."""
    keep_alive = entry.keep_alive if entry.keep_alive >= 0 else _FOR_EVER
    return (not entry.retiring, entry.leases > 0, keep_alive, entry.last_used)


def _expiry(now: datetime, keep_alive: float) -> datetime | None:
    if not 0 <= keep_alive < _FOR_EVER:
        return None
    return now + timedelta(seconds=keep_alive)
