"""Models from and to registries, for several clients at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import Protocol

from pyollama.errors import InvalidRequest
from pyollama.service.feed import Feed
from pyollama.store.registry.candidates import Places
from pyollama.store.registry.pull import Pull, pulled_name
from pyollama.store.registry.push import Push
from pyollama.store.store import Store
from pyollama.types import Progress, TransferRequest

_Key = tuple[object, ...]


class Transfer(Protocol):
    """A pull or a push, for one run."""

    def steps(self) -> Generator[Progress, None, None]: ...

    def cancel(self) -> None:
        """Make :meth:`steps` end soon; from any thread."""
        ...


class TransferService:
    """Pulls and pushes models. Lives in one event loop.

    However many clients pull or push a model, there is one transfer, and all of them see it from
    its beginning. It goes on until the last one has left.
    """

    def __init__(self, store: Store, places: Places) -> None:
        self._store = store
        self._places = places
        self._running: dict[_Key, _SharedTransfer] = {}

    def pull(self, request: TransferRequest) -> AsyncGenerator[Progress, None]:
        """Pull a model; ``limit_rate`` counts for whoever begins the transfer."""
        name = pulled_name(request.model)

        def begin() -> Pull:
            limit = request.limit_rate
            return Pull(self._store, self._places, name, insecure=request.insecure, limit=limit)

        return self._follow(("pull", *name.key, request.insecure), begin)

    def push(self, request: TransferRequest) -> AsyncGenerator[Progress, None]:
        """Push a model. Whether it is there, and has a proper name, shows in the steps only."""
        if not request.model:
            raise InvalidRequest("model is required", field="model")

        def begin() -> Push:
            session, text = self._places.session, request.model
            return Push(self._store, session, text, insecure=request.insecure)

        return self._follow(("push", request.model, request.insecure), begin)

    async def close(self) -> None:
        """End all transfers."""
        await asyncio.gather(*(shared.stop() for shared in list(self._running.values())))

    async def _follow(
        self, key: _Key, begin: Callable[[], Transfer]
    ) -> AsyncGenerator[Progress, None]:
        shared = self._running.get(key)
        if shared is None:
            shared = self._running[key] = _SharedTransfer(begin())
        shared.followers += 1
        try:
            async with aclosing(shared.feed.follow()) as steps:
                async for step in steps:
                    yield step
        finally:
            shared.followers -= 1
            if not shared.followers:
                if self._running.get(key) is shared:
                    del self._running[key]
                await shared.stop()


class _SharedTransfer:
    """A transfer in a thread of its own: it may take hours, and worker threads are few."""

    def __init__(self, transfer: Transfer) -> None:
        self.feed = Feed()
        self.followers = 0
        self._transfer = transfer
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        threading.Thread(target=self._run, name="transfer a model", daemon=True).start()

    async def stop(self) -> None:
        """End the transfer and wait until its files are free again."""
        self._transfer.cancel()
        await self._ended.wait()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for step in self._transfer.steps():
                self._loop.call_soon_threadsafe(self.feed.publish, step)
        except BaseException as caught:
            error = caught
        self._loop.call_soon_threadsafe(self._end, error)

    def _end(self, error: BaseException | None) -> None:
        self._ended.set()
        self.feed.end(error)
