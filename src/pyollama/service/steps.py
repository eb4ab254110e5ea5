"""Driving a generator that blocks from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import suppress

from pyollama.errors import PyollamaError
from pyollama.types import Progress


async def stepwise(steps: Generator[Progress, None, None]) -> AsyncGenerator[Progress, None]:
    """``steps``, each made in a worker thread. Closing waits for the one that is being made."""
    making: asyncio.Future[Progress | None] | None = None
    try:
        while True:
            making = asyncio.ensure_future(asyncio.to_thread(_next, steps))
            step = await asyncio.shield(making)
            if step is None:
                return
            yield step
    finally:
        if making is not None and not making.done():
            with suppress(PyollamaError):
                await making
        await asyncio.to_thread(steps.close)


def _next(steps: Iterator[Progress]) -> Progress | None:
    return next(steps, None)
