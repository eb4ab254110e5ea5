from __future__ import annotations

import asyncio

import pytest

from pyollama.errors import WorkerDied
from pyollama.types import ContextShifted, EngineEvent, Finished, TokenLogprob, Tokens, Usage
from pyollama.worker.backlog import Backlog

END = Finished("a", "stop", Usage())


def token(n: int) -> Tokens:
    return Tokens("a", f"{n} ", (n,), (TokenLogprob(str(n), -1.0, b"x"),))


async def drain(backlog: Backlog) -> list[EngineEvent]:
    events: list[EngineEvent] = []
    while not isinstance(event := await backlog.next(), Finished):
        events.append(event)
    return events


async def test_a_reader_that_keeps_up_gets_every_event() -> None:
    backlog = Backlog(long=4)
    reading = asyncio.create_task(drain(backlog))
    for n in range(20):
        backlog.put(token(n))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    backlog.put(END)
    assert await reading == [token(n) for n in range(20)]


async def test_a_reader_that_falls_behind_gets_joined_text() -> None:
    backlog = Backlog(long=10)
    for n in range(5):
        backlog.put(token(n))
    backlog.put(ContextShifted("a", 1, 2))
    for n in range(5, 1000):
        backlog.put(token(n))
        assert len(backlog) <= 11
    backlog.put(END)
    events = await drain(backlog)
    tokens = [event for event in events if isinstance(event, Tokens)]
    assert "".join(event.text for event in tokens) == "".join(f"{n} " for n in range(1000))
    assert [n for event in tokens for n in event.tokens] == list(range(1000))
    assert sum(len(event.logprobs) for event in tokens) == 1000
    assert events[1] == ContextShifted("a", 1, 2), "other events keep their place"


async def test_a_failure_comes_after_the_events() -> None:
    backlog = Backlog()
    backlog.put(token(1))
    backlog.fail(WorkerDied("gone"))
    assert await backlog.next() == token(1)
    with pytest.raises(WorkerDied):
        await backlog.next()


async def test_a_failure_wakes_the_reader() -> None:
    backlog = Backlog()
    reading = asyncio.create_task(backlog.next())
    await asyncio.sleep(0)
    backlog.fail(WorkerDied("gone"))
    with pytest.raises(WorkerDied):
        await reading
