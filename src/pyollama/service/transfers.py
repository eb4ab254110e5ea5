"""Models from registries, for several clients at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing

from pyollama.service.feed import Feed
from pyollama.store.name import Name
from pyollama.store.registry.pull import Candidates, Pull, pulled_name
from pyollama.store.store import Store
from pyollama.types import Progress, TransferRequest

_Key = tuple[object, ...]


class TransferService:
    """Pulls models. Lives in one event loop.

    However many clients pull a model, there is one transfer, and all of them see it from its
    beginning. It goes on until the last one has left.
    """

    def __init__(self, store: Store, candidates: Candidates) -> None:
        self._store = store
        self._candidates = candidates
        self._pulls: dict[_Key, _SharedPull] = {}

    async def pull(self, request: TransferRequest) -> AsyncGenerator[Progress, None]:
        """Pull a model; ``limit_rate`` counts for whoever begins the transfer."""
        name = pulled_name(request.model)
        key = (*name.key, request.insecure)
        shared = self._pulls.get(key)
        if shared is None:
            shared = self._pulls[key] = _SharedPull(self._new(name, request))
        shared.followers += 1
        try:
            async with aclosing(shared.feed.follow()) as steps:
                async for step in steps:
                    yield step
        finally:
            shared.followers -= 1
            if not shared.followers:
                if self._pulls.get(key) is shared:
                    del self._pulls[key]
                await shared.stop()

    async def close(self) -> None:
        """End all transfers."""
        await asyncio.gather(*(shared.stop() for shared in list(self._pulls.values())))

    def _new(self, name: Name, request: TransferRequest) -> Pull:
        return Pull(
            self._store,
            self._candidates,
            name,
            insecure=request.insecure,
            limit=request.limit_rate,
        )


class _SharedPull:
    """A pull in a thread of its own: it may take hours, and worker threads are few."""

    def __init__(self, pull: Pull) -> None:
        self.feed = Feed()
        self.followers = 0
        self._pull = pull
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        threading.Thread(target=self._run, name="pull a model", daemon=True).start()

    async def stop(self) -> None:
        """End the transfer and wait until its files are free again."""
        self._pull.cancel()
        await self._ended.wait()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for step in self._pull.steps():
                self._loop.call_soon_threadsafe(self.feed.publish, step)
        except BaseException as caught:
            error = caught
        self._loop.call_soon_threadsafe(self._end, error)

    def _end(self, error: BaseException | None) -> None:
        self._ended.set()
        self.feed.end(error)
