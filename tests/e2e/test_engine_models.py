"""The engine on real memory: its greedy answers are what the bare logits say, in any company."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.native import tiny
from tests.native.steps import last_logits

from pyollama._native import Context, Model
from pyollama.engine.engine import Engine
from pyollama.engine.spec import LoadSpec
from pyollama.errors import InvalidGrammar
from pyollama.types import (
    ContextShifted,
    Finished,
    GenerateRequest,
    Grammar,
    SamplingParams,
    Tokens,
    Usage,
)

N_CTX = 256
N_OUT = 12
MARGIN = 0.05
NOISE = 0.01  # what the shape of a batch does to a log-probability here
GREEDY = SamplingParams(temperature=0.0)
SYSTEM = [(7 * n) % 200 for n in range(90)]
MAKERS = {
    "llama": tiny.llama_like,
    "qwen2": lambda path: tiny.llama_like(path, "qwen2", bias=True),
    "gemma3": tiny.gemma3_like,
    "mamba": tiny.mamba_like,
    "lfm2": tiny.lfm2_like,
}


@pytest.fixture(scope="module", params=MAKERS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name: str = request.param
    return MAKERS[name](tmp_path_factory.mktemp("model") / f"{name}.gguf")


@dataclass(frozen=True)
class Expected:
    """What a model says to each prompt by itself: four that begin alike, and four that do not.

    Other company means other batch shapes and other places in the cache, hence sums in another
    order. So these are prompts to which the model has no two answers that are nearly as good.
    """

    prompts: list[list[int]]
    answers: list[list[int]]


@pytest.fixture(scope="module")
def expected(path: Path) -> Expected:
    alike = ([*SYSTEM, n, n + 1] for n in range(200))
    others = ([n] * (10 + n % 40) for n in range(5, 200))
    found = Expected([], [])
    with Model(path) as model, Context(model, n_ctx=N_CTX, n_threads=1) as context:
        for candidates in (alike, others):
            wanted = len(found.prompts) + 4
            for prompt in candidates:
                answer = clear_answer(model, context, prompt)
                if answer is not None:
                    found.prompts.append(prompt)
                    found.answers.append(answer)
                if len(found.prompts) == wanted:
                    break
    assert len(found.prompts) == 8
    return found


def clear_answer(model: Model, context: Context, prompt: list[int]) -> list[int] | None:
    """What the model says until it wants to end; ``None`` if it hesitates."""
    context.clear()
    answer: list[int] = []
    logits = last_logits(context, prompt)
    while len(answer) < N_OUT:
        second, first = np.partition(logits, -2)[-2:]
        token = int(logits.argmax())
        if first - second < MARGIN:
            return None
        if model.is_eog(token):
            break
        logits = last_logits(context, [token], start=len(prompt) + len(answer))
        answer.append(token)
    return answer


@asynccontextmanager
async def engine_on(path: Path, **fields: int | bool) -> AsyncIterator[Engine]:
    values = {"n_ctx": N_CTX, "n_slots": 8, "n_threads": 1, "n_ubatch": 32} | fields
    engine = await asyncio.to_thread(Engine.load, LoadSpec(path=str(path), **values))  # type: ignore[arg-type]
    try:
        yield engine
    finally:
        await engine.close()


@dataclass(frozen=True)
class Answer:
    """``tokens`` may lack the last ones, where they are pieces of a character never completed."""

    tokens: list[int]
    usage: Usage

    def says(self, expected: list[int]) -> bool:
        n_more = len(expected) - len(self.tokens)
        ended = self.usage.completion_tokens - len(expected)  # 1 for the token that ends it
        return self.tokens == expected[: len(self.tokens)] and 0 <= n_more <= 3 and ended in (0, 1)


async def answer(
    engine: Engine,
    name: str,
    prompt: list[int],
    *,
    max_tokens: int = N_OUT,
    ignore_eos: bool = False,
) -> Answer:
    special = tuple(range(engine.info.n_vocab))  # shows every token, so that none is left out
    request = GenerateRequest(
        name,
        prompt,
        GREEDY,
        max_tokens=max_tokens,
        preserved_tokens=special,
        ignore_eos=ignore_eos,
        max_draft=0,
    )
    events = [event async for event in engine.generate(request)]
    *_, end = events
    assert isinstance(end, Finished)
    said = [token for event in events if isinstance(event, Tokens) for token in event.tokens]
    return Answer(said, end.usage)


async def ask_all(engine: Engine, name: str, expected: Expected) -> list[Answer]:
    """All of them at once, and every one is answered as by itself."""
    jobs = (answer(engine, f"{name}{n}", prompt) for n, prompt in enumerate(expected.prompts))
    answers = await asyncio.gather(*jobs)
    for one, other in zip(answers, expected.answers, strict=True):
        assert one.says(other)
    return answers


async def test_one_after_the_other(path: Path, expected: Expected) -> None:
    async with engine_on(path, n_slots=2) as engine:
        for n, prompt in enumerate(expected.prompts):
            assert (await answer(engine, str(n), prompt)).says(expected.answers[n])


async def test_eight_at_once_and_again_from_the_cache(path: Path, expected: Expected) -> None:
    async with engine_on(path) as engine:
        first = await ask_all(engine, "first", expected)
        again = await ask_all(engine, "again", expected)
        shared = [one.usage.cached_tokens for one in first[:4]]
        assert shared == [0] + [len(SYSTEM)] * 3
        cached = [one.usage.cached_tokens for one in again]
        assert cached == [len(prompt) - 1 for prompt in expected.prompts]


async def test_prefixes_outlive_the_slots_they_were_computed_in(
    path: Path, expected: Expected
) -> None:
    async with engine_on(path, n_slots=1, n_sequences=16) as engine:
        for name in ("first", "again"):
            answers = [
                await answer(engine, f"{name}{n}", prompt)
                for n, prompt in enumerate(expected.prompts[:3])
            ]
        cached = [one.usage.cached_tokens for one in answers]
        assert cached == [len(prompt) - 1 for prompt in expected.prompts[:3]]


async def test_who_gives_way_when_cells_run_out_loses_nothing(
    path: Path, expected: Expected
) -> None:
    prompts, answers = expected.prompts[4:], expected.answers[4:]
    n_out = 100
    async with engine_on(path, n_slots=4, n_cells=N_CTX) as engine:
        jobs = (
            answer(engine, str(n), prompt, max_tokens=n_out, ignore_eos=True)
            for n, prompt in enumerate(prompts)
        )
        for one, begins in zip(await asyncio.gather(*jobs), answers, strict=True):
            assert one.tokens[: len(begins)] == begins
            assert one.usage.completion_tokens == n_out
        stats = await engine.stats()
        assert stats.cells_used <= stats.cells
        if "mamba" not in path.name:  # which has no cells that could run out
            assert stats.preemptions > 0
        once = sum(len(prompt) + n_out - 1 for prompt in prompts)
        assert stats.computed_tokens + stats.cached_tokens == once, "nothing is computed again"


async def test_another_next_turn_goes_on_from_the_prompt(path: Path, expected: Expected) -> None:
    """As when a template leaves out what the model thought."""
    prompt = expected.prompts[0]
    async with engine_on(path) as engine:
        await answer(engine, "one", prompt)
        second = await answer(engine, "two", [*prompt, 3, 4, 5])
        assert second.usage.cached_tokens >= len(prompt) - 1


async def test_the_next_turn_goes_on_where_the_last_one_ended(
    path: Path, expected: Expected
) -> None:
    prompt = expected.prompts[0]
    async with engine_on(path) as engine:
        first = await answer(engine, "one", prompt)
        longer = [*prompt, *first.tokens, 3, 4]
        second = await answer(engine, "two", longer)
        assert second.usage.cached_tokens >= len(longer) - 3
    async with engine_on(path) as engine:
        fresh = await answer(engine, "two", longer)
        assert fresh.tokens[:1] == second.tokens[:1]


async def test_a_full_context_is_shifted_where_the_memory_can(path: Path) -> None:
    async with engine_on(path, n_ctx=64) as engine:
        request = GenerateRequest(
            "a", [1, 2, 3], GREEDY, max_tokens=150, shift=True, n_keep=2, ignore_eos=True
        )
        events = [event async for event in engine.generate(request)]
        shifts = [event for event in events if isinstance(event, ContextShifted)]
        end = events[-1]
        assert isinstance(end, Finished)
        if engine.info.can_shift:
            assert shifts[0] == ContextShifted("a", kept=2, discarded=30)
            assert end.usage.completion_tokens == 150
        else:
            assert (end.limit, end.usage.completion_tokens) == ("context", 61)


async def test_cells_that_others_own_too_are_not_moved_under_them(
    path: Path, expected: Expected
) -> None:
    """All sequences together are longer than there are cells, because they share them."""
    async with engine_on(path, n_slots=1, n_cells=N_CTX, n_sequences=16) as engine:
        for n in range(3):
            await answer(engine, str(n), [*SYSTEM, n, n], max_tokens=2)
        request = GenerateRequest(
            "a", [*SYSTEM, 9], GREEDY, max_tokens=60, n_ctx=110, shift=True, ignore_eos=True
        )
        *_, end = [event async for event in engine.generate(request)]
        assert isinstance(end, Finished)
        assert end.usage.completion_tokens == (60 if engine.info.can_shift else 110 - 91)
        prompt = expected.prompts[0]
        again = await answer(engine, "again", prompt)
        assert again.says(expected.answers[0])
        if path.stem in ("llama", "qwen2"):  # which can be cut back to there
            assert again.usage.cached_tokens >= len(SYSTEM)


async def test_a_saved_prefix_is_warm_in_another_engine(path: Path, expected: Expected) -> None:
    async with engine_on(path) as engine:
        state = await engine.save_state(GenerateRequest("save", SYSTEM, max_tokens=0))
    async with engine_on(path) as engine:
        await engine.restore_state(SYSTEM, state)
        warm = await answer(engine, "a", expected.prompts[0])
        assert warm.says(expected.answers[0])
        assert warm.usage.cached_tokens == len(SYSTEM)


async def test_a_prefix_is_what_it_was_when_the_cells_have_been_full(
    path: Path, expected: Expected
) -> None:
    """llama.cpp gives cells that a sliding window has passed to others when it looks for room.

    The long text at the end takes the place of the short one and of some others, and what it needs
    beyond that comes from the prefix between them.
    """
    prompt, begun = expected.prompts[0], [*SYSTEM[:40], 5, 6]
    others = [[n] * 43 for n in range(8)]
    async with engine_on(path, n_slots=1, n_cells=2 * N_CTX) as engine:
        await answer(engine, "short", [50] * 20, max_tokens=2)
        first = await answer(engine, "first", prompt)
        for n, other in enumerate([*others, [51] * 130]):
            await answer(engine, str(n), other, max_tokens=2)
        begun_again = await logprobs(engine, begun)
        before = (await engine.stats()).cached_tokens
        longer = [*prompt, *first.tokens, 3, 4]
        gone_on = await logprobs(engine, longer)
        cached = (await engine.stats()).cached_tokens - before
    for text, found in ((begun, begun_again), (longer, gone_on)):
        async with engine_on(path, n_slots=1) as engine:
            assert found == pytest.approx(await logprobs(engine, text), abs=NOISE)
    if path.stem not in ("mamba", "lfm2"):  # which have fewer sequences to keep it in
        assert cached >= len(prompt) - 1


async def logprobs(engine: Engine, prompt: list[int]) -> list[float]:
    """Of the forty likeliest tokens behind ``prompt``; it is made to say a letter."""
    letter = SamplingParams(logit_bias={40: 1000.0})
    request = GenerateRequest(f"logprobs {len(prompt)}", prompt, letter, max_tokens=1, logprobs=40)
    events = [event async for event in engine.generate(request)]
    (choice,) = [each for event in events if isinstance(event, Tokens) for each in event.logprobs]
    return [each.logprob for each in choice.top]


async def test_an_answer_that_its_grammar_does_not_let_go_on_ends_alone(
    path: Path, expected: Expected
) -> None:
    grammar = Grammar(kind="gbnf", text='root ::= "aaab"')
    async with engine_on(path) as engine:
        only_a = dict.fromkeys(range(engine.info.n_vocab), float("-inf")) | {ord("a"): 0.0}
        stuck = SamplingParams(temperature=0.0, grammar=grammar, logit_bias=only_a)
        request = GenerateRequest("stuck", SYSTEM, stuck, max_tokens=N_OUT)
        others = asyncio.create_task(ask_all(engine, "other", expected))
        events = engine.generate(request)
        for _ in range(3):
            event = await anext(events)
            assert isinstance(event, Tokens)
            assert event.tokens == (ord("a"),)
        with pytest.raises(InvalidGrammar, match="no token of the model can continue"):
            await anext(events)
        await others
