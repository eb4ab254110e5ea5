"""What one request can ask for beyond one answer: several, scores of its prompt, adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import gguf
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.native import tiny

from pyollama import LLM
from pyollama._native import Context, Model
from pyollama.engine.engine import Engine
from pyollama.engine.spec import LoadSpec
from pyollama.errors import InvalidRequest
from pyollama.llm.answers import Completion
from pyollama.types import Adapters, EmbedRequest, Finished, GenerateRequest

PROMPT = [(11 * n) % 200 for n in range(60)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama_like(tmp_path_factory.mktemp("model") / "llama.gguf")


@pytest.fixture
def llm(path: Path) -> Iterator[LLM]:
    """Loaded for each test, so that none finds what another one left in the cache."""
    with LLM(path, n_ctx=256, n_threads=1) as loaded:
        yield loaded


def mean_logprob(answer: Completion) -> float:
    return float(np.mean([entry.logprob for entry in answer.logprobs]))


def test_several_answers_cost_one_prompt(llm: LLM) -> None:
    answers = llm.generate(PROMPT, n=4, temperature=1.5, seed=7, max_tokens=12)
    cached = sorted(answer.usage.cached_tokens for answer in answers)
    assert cached == [0, *[len(PROMPT) - 1] * 3]
    assert len({answer.tokens for answer in answers}) == 4
    for index, answer in enumerate(answers):
        alone = llm.generate(PROMPT, temperature=1.5, seed=7 + index, max_tokens=12)
        assert alone.tokens == answer.tokens


def test_more_answers_than_run_at_a_time(llm: LLM) -> None:
    answers = llm.generate(PROMPT, n=llm.info.n_slots + 2, max_tokens=4)
    cached = sorted(answer.usage.cached_tokens for answer in answers)
    assert cached == [0, *[len(PROMPT) - 1] * (llm.info.n_slots + 1)]


def test_the_likeliest_answers_are_kept(llm: LLM) -> None:
    every = llm.generate(PROMPT, n=6, temperature=1.5, seed=3, max_tokens=10, logprobs=0)
    ranked = sorted(every, key=mean_logprob, reverse=True)
    kept = llm.generate(PROMPT, n=2, best_of=6, temperature=1.5, seed=3, max_tokens=10)
    assert [answer.tokens for answer in kept] == [answer.tokens for answer in ranked[:2]]
    assert all(answer.logprobs == () for answer in kept)  # nobody asked for them
    best = llm.generate(PROMPT, best_of=6, temperature=1.5, seed=3, max_tokens=10, logprobs=0)
    assert (best.tokens, len(best.logprobs)) == (ranked[0].tokens, len(ranked[0].logprobs))


def test_several_answers_to_a_conversation(llm: LLM) -> None:
    messages = [{"role": "user", "content": "the cat and the hat and the other cat"}]
    answers = llm.chat(messages, n=3, temperature=1.5, seed=1, max_tokens=8)
    n_prompt = answers[0].usage.prompt_tokens
    assert n_prompt > 40
    assert sorted(one.usage.cached_tokens for one in answers) == [0, n_prompt - 1, n_prompt - 1]
    assert llm.chat(messages, temperature=1.5, seed=3, max_tokens=8).text == answers[2].text


def test_what_cannot_be_asked_for(llm: LLM) -> None:
    with pytest.raises(InvalidRequest, match="n: 0 answers"):
        llm.generate(PROMPT, n=0)
    with pytest.raises(InvalidRequest, match="best_of: 1 answers are too few to choose 2"):
        llm.generate(PROMPT, n=2, best_of=1)
    with pytest.raises(InvalidRequest, match="n: a stream is one answer"):
        llm.generate(PROMPT, n=2, stream=True)  # type: ignore[call-overload]


def test_the_score_of_a_text_is_what_the_logits_say(llm: LLM, path: Path) -> None:
    tokens = [(7 * n + n * n) % 250 for n in range(150)]
    llm.generate(tokens, max_tokens=1)  # what is cached now must not be taken for scored
    found = llm.score(tokens)
    with Model(path) as model, Context(model, n_ctx=256, n_batch=256, n_threads=1) as context:
        count = len(tokens)
        context.decode(tokens, range(count), [0] * count, [True] * count)
        logits = context.logits().astype(np.float64)
    total = np.log(np.exp(logits).sum(axis=1))
    expected = [logits[row, tokens[row + 1]] - total[row] for row in range(count - 1)]
    assert found.tokens == tuple(tokens)
    np.testing.assert_allclose(found.logprobs, expected, atol=0.02)  # the cache is float16
    assert found.perplexity == pytest.approx(np.exp(-np.mean(expected)), rel=0.01)
    assert (found.usage.cached_tokens, found.usage.completion_tokens) == (0, 0)
    assert len(llm.score(tokens[:1]).logprobs) == 0


async def test_adapters_of_a_request_are_its_own(path: Path, tmp_path: Path) -> None:
    lora = str(tiny.lora(tmp_path / "style.gguf"))
    sets: list[Adapters | None] = [None, ((lora, 1.0),), ((lora, 0.25),), ()]
    spec = LoadSpec(path=str(path), n_ctx=256, n_slots=4, n_threads=1)
    alone = [await scores(spec, [each]) for each in sets]
    together = await scores(spec, sets * 2)
    for found, (expected,) in zip(together, alone * 2, strict=True):
        np.testing.assert_allclose(found, expected, atol=0.02)
    plain, full, quarter, none = together[:4]
    assert np.abs(plain - full).max() > 0.2
    assert np.abs(full - quarter).max() > 0.2
    np.testing.assert_allclose(plain, none, atol=0.02)

    with_default = msgspec.structs.replace(spec, adapters=(lora,))
    default, none, quarter = await scores(with_default, [None, (), (("style", 0.25),)])
    np.testing.assert_allclose(default, full, atol=0.02)
    np.testing.assert_allclose(none, plain, atol=0.02)
    np.testing.assert_allclose(quarter, together[2], atol=0.02)


async def test_adapters_of_texts_to_embed(tmp_path: Path) -> None:
    path = tiny.llama_like(tmp_path / "embed.gguf", pooling=gguf.PoolingType.MEAN)
    lora = str(tiny.lora(tmp_path / "style.gguf"))
    spec = LoadSpec(path=str(path), n_ctx=64, n_threads=1, embeddings=True)
    engine = await asyncio.to_thread(Engine.load, spec)
    try:
        jobs = (engine.embed(EmbedRequest(f"{n}", [[5, 6, 7]], adapters)) for n, adapters in
                enumerate([None, ((lora, 1.0),), None, ((lora, 1.0),)]))  # fmt: skip
        plain, styled, *again = [
            np.frombuffer(each.vectors, np.float32) for each in await asyncio.gather(*jobs)
        ]
    finally:
        await engine.close()
    assert np.abs(plain - styled).max() > 0.05
    np.testing.assert_allclose(again, [plain, styled], atol=1e-3)


async def test_an_adapter_that_cannot_be_used_is_named(path: Path) -> None:
    spec = LoadSpec(path=str(path), n_ctx=256, n_threads=1)
    with pytest.raises(InvalidRequest, match=r"adapters: .*/nowhere\.gguf"):
        await scores(spec, [(("/nowhere.gguf", 1.0),)])


async def scores(spec: LoadSpec, sets: Sequence[Adapters | None]) -> list[NDArray[np.float32]]:
    """What the same text is worth with each set of adapters, all at once on one engine."""
    engine = await asyncio.to_thread(Engine.load, spec)

    async def one(name: str, adapters: Adapters | None) -> NDArray[np.float32]:
        request = GenerateRequest(
            name, PROMPT, max_tokens=3, prompt_logprobs=True, adapters=adapters
        )
        end = [event async for event in engine.generate(request)][-1]
        assert isinstance(end, Finished)
        return np.frombuffer(end.prompt_logprobs, np.float32)

    try:
        return await asyncio.gather(*(one(f"{n}", each) for n, each in enumerate(sets)))
    finally:
        await engine.close()


def test_adapters_of_a_call(llm: LLM, tmp_path: Path) -> None:
    adapters = ((str(tiny.lora(tmp_path / "style.gguf")), 1.0),)
    assert llm.score(PROMPT).perplexity != llm.score(PROMPT, adapters=adapters).perplexity
    prompt = "the cat and the hat and the other cat and the other hat"
    plain, styled, again = (
        llm.generate(prompt, max_tokens=4, adapters=each) for each in ((), adapters, adapters)
    )
    assert plain.usage.cached_tokens == styled.usage.cached_tokens == 0
    assert again.usage.cached_tokens == again.usage.prompt_tokens - 1
    answer = llm.chat([{"role": "user", "content": prompt}], max_tokens=4, adapters=adapters)
    assert answer.usage.cached_tokens == 0
