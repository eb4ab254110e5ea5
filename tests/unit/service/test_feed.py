"""Progress for many followers, and generators that are driven step by step."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import aclosing

import pytest

from pyollama.errors import StoreError
from pyollama.service.feed import Feed
from pyollama.service.steps import stepwise
from pyollama.types import Progress


def layer(completed: int, digest: str = "sha256:a") -> Progress:
    return Progress("pulling a", digest, 10, completed)


async def collected(steps: AsyncIterator[Progress]) -> list[Progress]:
    return [step async for step in steps]


async def test_a_follower_sees_every_step_that_is_far_enough_apart() -> None:
    feed, seen = Feed(), []
    feed.publish(Progress("begin"))
    async for step in feed.follow():
        seen.append(step)
        if step.completed == 10:
            feed.end(None)
        else:
            feed.publish(layer(step.completed + 5))
    assert seen == [Progress("begin"), layer(5), layer(10)]


async def test_who_comes_late_sees_the_last_word_on_each_step() -> None:
    feed = Feed()
    for step in (Progress("begin"), layer(1), layer(7), layer(7), layer(3, "sha256:b")):
        feed.publish(step)
    feed.end(None)
    expected = [Progress("begin"), layer(7), layer(3, "sha256:b")]
    assert await collected(feed.follow()) == expected


async def test_who_is_slow_skips_what_is_outdated() -> None:
    feed, seen = Feed(), []
    feed.publish(layer(1))
    async for step in feed.follow():
        seen.append(step)
        if step.completed == 1:
            for completed in (2, 3, 4):
                feed.publish(layer(completed))
            feed.publish(Progress("end"))
            feed.end(None)
    assert seen == [layer(1), layer(4), Progress("end")]


async def test_an_error_reaches_all_after_what_came_before() -> None:
    feed = Feed()
    feed.publish(layer(1))
    waiting = asyncio.ensure_future(collected(feed.follow()))
    await asyncio.sleep(0)
    feed.end(StoreError("full"))
    with pytest.raises(StoreError, match="full"):
        await waiting
    late = feed.follow()
    assert await anext(late) == layer(1)
    with pytest.raises(StoreError, match="full"):
        await anext(late)


async def test_steps_come_one_by_one_and_the_generator_is_closed() -> None:
    closed = threading.Event()

    def steps() -> Generator[Progress, None, None]:
        try:
            yield layer(1)
            yield layer(2)
        finally:
            closed.set()

    assert await collected(stepwise(steps())) == [layer(1), layer(2)]
    assert closed.is_set()


async def test_closing_waits_for_the_step_that_is_being_made() -> None:
    """A generator cannot be closed while another thread runs it."""
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def steps() -> Generator[Progress, None, None]:
        try:
            yield layer(1)
            begun.set()
            go_on.wait()
            yield layer(2)
        finally:
            closed.set()

    async def read() -> None:
        async with aclosing(stepwise(steps())) as made:
            async for _ in made:
                pass

    reading = asyncio.ensure_future(read())
    await asyncio.to_thread(begun.wait)
    reading.cancel()
    await asyncio.sleep(0)
    assert not closed.is_set()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert closed.is_set()


async def test_errors_of_steps_come_through() -> None:
    def steps() -> Generator[Progress, None, None]:
        yield layer(1)
        raise StoreError("full")

    with pytest.raises(StoreError, match="full"):
        await collected(stepwise(steps()))
