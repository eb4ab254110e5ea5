"""``/v1/completions`` through the official client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from tests.api.openai_client import connected
from tests.api.world import SCRIPTS, World


@pytest.fixture
async def client(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    async with connected(world) as client:
        yield client


async def test_an_answer(world: World, client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="chat", prompt="hi", max_tokens=2)
    (choice,) = answer.choices
    assert (choice.text, choice.finish_reason) == ("Hello there", "length")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (20, 2)
    assert answer.object == "text_completion"
    (request,) = world.engines[0].requests
    assert bytes(request.tokens) == b"[user]hi\n[assistant]"


async def test_a_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.completions.create(model="chat", prompt="hi", stream=True)
    choices = [chunk.choices[0] async for chunk in stream]
    assert [choice.text for choice in choices] == ["Hello", " there", ".", ""]
    assert [str(choice.finish_reason) for choice in choices] == ["None", "None", "None", "stop"]


async def test_the_usage_of_a_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.completions.create(
        model="chat", prompt="hi", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 24


@pytest.mark.parametrize("stream", [False, True])
async def test_several_prompts_and_answers(client: openai.AsyncOpenAI, stream: bool) -> None:
    body: dict[str, Any] = {"model": "chat", "prompt": ["hi", "more @html"], "n": 2, "echo": True}
    if stream:
        texts: dict[int, str] = {}
        async for chunk in await client.completions.create(**body, stream=True):
            for choice in chunk.choices:
                texts[choice.index] = texts.get(choice.index, "") + choice.text
    else:
        answer = await client.completions.create(**body)
        texts = {choice.index: choice.text for choice in answer.choices}
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == 20 + 28
        assert answer.usage.completion_tokens == 2 * 4 + 2 * 3
    assert texts == {
        0: "hiHello there.",
        1: "hiHello there.",
        2: "more @html<b>&amp;",
        3: "more @html<b>&amp;",
    }


async def test_the_best_of_several(
    world: World, client: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer without a token has the least likely ones, so it is never the best."""
    monkeypatch.setitem(SCRIPTS, "@nothing", ())
    answer = await client.completions.create(
        model="chat", prompt=["@nothing", "hi"], n=1, best_of=3
    )
    assert [choice.text for choice in answer.choices] == ["", "Hello there."]
    assert answer.choices[1].logprobs is None
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3 * 1 + 3 * 4
    assert len(world.engines[0].requests) == 6


@pytest.mark.parametrize("stream", [False, True])
async def test_logprobs(client: openai.AsyncOpenAI, stream: bool) -> None:
    body: dict[str, Any] = {"model": "chat", "prompt": "hi", "logprobs": 1}
    if stream:
        chunks = [chunk async for chunk in await client.completions.create(**body, stream=True)]
        parts = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    else:
        answer = await client.completions.create(**body)
        parts = [choice.logprobs for choice in answer.choices if choice.logprobs]
    assert [token for part in parts for token in part.tokens or ()] == ["Hello", " there", "."]
    assert [it for part in parts for it in part.token_logprobs or ()] == [-0.25] * 3
    assert [it for part in parts for it in part.text_offset or ()] == [0, 5, 11]
    assert [it for part in parts for it in part.top_logprobs or ()] == [{"other": -2.0}] * 3


async def test_no_prompt_only_loads(world: World, client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="chat", prompt="")
    assert (answer.choices[0].text, str(answer.choices[0].finish_reason)) == ("", "load")
    assert [entry.model.name.short for entry in world.pool.ps()] == ["chat:latest"]


async def test_a_prompt_that_is_too_long_is_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"is 512 tokens, but .* has 618") as caught:
        await client.completions.create(model="chat", prompt="x" * 600)
    assert caught.value.code == "context_length_exceeded"


async def test_only_some_models_write_between_texts(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="does not support insert"):
        await client.completions.create(model="chat", prompt="a", suffix="b")


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("prompt", {"prompt": [1, 2]}),
        ("prompt", {"prompt": []}),
        ("prompt", {"prompt": ["a"] * 100, "n": 2}),
        ("n", {"n": 0}),
        ("stop", {"stop": [1]}),
        ("logprobs", {"logprobs": 50}),
        ("best_of", {"best_of": 1, "n": 2}),
        ("best_of", {"best_of": 2, "stream": True}),
        ("echo", {"echo": True, "logprobs": 1}),
    ],
)
async def test_a_parameter_that_cannot_be_used_is_named(
    client: openai.AsyncOpenAI, param: str, body: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.completions.create(**{"model": "chat", "prompt": "hi"} | body)
    assert caught.value.param == param
