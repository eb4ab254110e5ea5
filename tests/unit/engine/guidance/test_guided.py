"""Answers with a grammar, among others, in an engine over simulated guidance and model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.unit.engine.simulated import SimulatedBackend

from pyollama.engine.engine import Engine
from pyollama.errors import EngineClosed, InvalidGrammar
from pyollama.types import Finished, GenerateRequest, Grammar, SamplingParams, Tokens


@asynccontextmanager
async def running(backend: SimulatedBackend) -> AsyncIterator[Engine]:
    engine = Engine(backend)
    try:
        yield engine
    finally:
        await engine.close()
        assert all(guide.closed for guide in backend.guidance.guides)


def _request(request_id: str, grammar: str | None, **fields: object) -> GenerateRequest:
    sampling = SamplingParams(grammar=None if grammar is None else Grammar(grammar, "regex"))
    values = {"max_tokens": 12} | fields
    return GenerateRequest(request_id, [3, 1, 4, 1], sampling, **values)  # type: ignore[arg-type]


async def _answer(engine: Engine, request: GenerateRequest) -> tuple[list[int], Finished]:
    *chunks, end = [event async for event in engine.generate(request)]
    assert isinstance(end, Finished)
    return [t for chunk in chunks if isinstance(chunk, Tokens) for t in chunk.tokens], end


async def test_an_answer_says_what_its_grammar_says_and_ends() -> None:
    async with running(SimulatedBackend()) as engine:
        tokens, end = await _answer(engine, _request("a", "7 9 11"))
        assert (tokens, end.reason, end.usage.completion_tokens) == ([7, 9, 11], "stop", 4)


async def test_the_limit_may_fall_inside() -> None:
    async with running(SimulatedBackend()) as engine:
        tokens, end = await _answer(engine, _request("a", "7 9 11", max_tokens=2))
        assert (tokens, end.reason, end.limit) == ([7, 9], "length", "max_tokens")


async def test_a_complete_answer_ends_also_where_the_model_may_not() -> None:
    async with running(SimulatedBackend()) as engine:
        tokens, end = await _answer(engine, _request("a", "7 9", ignore_eos=True))
        assert (tokens, end.reason) == ([7, 9], "stop")


async def test_others_are_not_touched() -> None:
    async with running(SimulatedBackend(n_slots=4)) as engine:
        alone, _ = await _answer(engine, _request("alone", None))
        answers = await asyncio.gather(
            _answer(engine, _request("a", "7 8 9 10")),
            _answer(engine, _request("free", None)),
            _answer(engine, _request("b", "20 21")),
        )
        assert [tokens for tokens, _ in answers] == [[7, 8, 9, 10], alone, [20, 21]]


async def test_a_grammar_that_cannot_be_used_fails_before_anything_is_computed() -> None:
    backend = SimulatedBackend()
    async with running(backend) as engine:
        with pytest.raises(InvalidGrammar, match="nonsense"):
            await _answer(engine, _request("a", "nonsense"))
        assert backend.decoded == 0 and not backend.prompts


async def test_a_grammar_that_breaks_fails_only_its_request() -> None:
    async with running(SimulatedBackend()) as engine:
        broken, good = await asyncio.gather(
            _answer(engine, _request("a", "7 broken")),
            _answer(engine, _request("b", "8 9 10")),
            return_exceptions=True,
        )
        assert isinstance(broken, InvalidGrammar)
        assert isinstance(good, tuple) and good[0] == [8, 9, 10]


async def test_others_run_while_a_grammar_is_compiled() -> None:
    backend = SimulatedBackend()
    async with running(backend) as engine:
        backend.guidance.hold = True
        waiting = asyncio.create_task(_answer(engine, _request("a", "7 9")))
        await asyncio.sleep(0)
        free, _ = await _answer(engine, _request("free", None))
        assert free and not waiting.done() and len(backend.prompts) == 1
        backend.guidance.release()
        assert (await waiting)[0] == [7, 9]


async def test_a_request_may_be_given_up_while_its_grammar_is_compiled() -> None:
    backend = SimulatedBackend()
    async with running(backend) as engine:
        backend.guidance.hold = True
        waiting = asyncio.create_task(_answer(engine, _request("a", "7 9")))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await _answer(engine, _request("free", None))
        backend.guidance.release()
        await _answer(engine, _request("free again", None))
        assert [guide.closed for guide in backend.guidance.guides] == [True]
        assert (await engine.stats()).waiting == 0


async def test_closing_ends_those_that_wait() -> None:
    backend = SimulatedBackend()
    engine = Engine(backend)
    backend.guidance.hold = True
    waiting = asyncio.create_task(_answer(engine, _request("a", "7 9")))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(EngineClosed):
        await waiting
    backend.guidance.release()
