"""One background event loop, so that synchronous calls can use what is written asynchronously."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pyollama.errors import EngineClosed

T = TypeVar("T")


class Portal:
    """Runs coroutines in a thread of its own, from the first of them until it is dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], object] = lambda: None
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``; when the caller is interrupted, it is cancelled."""
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._running_loop())
        except EngineClosed:
            work.close()
            raise
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._stop()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise EngineClosed("the model is closed")
            if self._loop is None:
                self._loop = loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_serve, args=(loop,), name="llm", daemon=True)
                thread.start()
                self._stop = weakref.finalize(self, _stop, loop, thread)
            return self._loop


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():  # objects may be collected in any thread
        thread.join()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
