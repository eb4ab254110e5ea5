"""``/v1/embeddings`` through the official client, which asks for base64 by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import openai
import pytest
from tests.api.openai_client import connected
from tests.api.world import World


@pytest.fixture
async def client(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    async with connected(world) as client:
        yield client


def unit(*values: float) -> Any:
    return pytest.approx(np.array(values) / np.linalg.norm(values), rel=1e-6)


async def test_both_encodings(client: openai.AsyncOpenAI) -> None:
    packed = await client.embeddings.create(model="vectors", input=["ab", "abcd"])
    plain = await client.embeddings.create(
        model="vectors", input=["ab", "abcd"], encoding_format="float"
    )
    for answer in (packed, plain):
        assert [it.index for it in answer.data] == [0, 1]
        assert list(answer.data[0].embedding) == unit(2, 3, 0, 0)
        assert list(answer.data[1].embedding) == unit(4, 3, 0, 0)
        assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (6, 6)
        assert (answer.object, answer.model) == ("list", "vectors")


async def test_one_text_and_an_empty_one(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="vectors", input="abcd")
    assert list(answer.data[0].embedding) == unit(4, 3, 0, 0)
    assert len((await client.embeddings.create(model="vectors", input="")).data) == 1


async def test_fewer_dimensions(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="vectors", input="abcd", dimensions=1)
    assert list(answer.data[0].embedding) == unit(4)


async def test_what_is_too_long_is_refused_unless_it_may_be_cut(
    client: openai.AsyncOpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError, match=r"is 64 tokens, but .* has 100") as caught:
        await client.embeddings.create(model="vectors", input="x" * 100)
    assert caught.value.code == "context_length_exceeded"
    answer = await client.embeddings.create(
        model="vectors", input="x" * 100, extra_body={"truncate": True}
    )
    assert answer.usage.prompt_tokens == 64


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("input", {"input": []}),
        ("input", {"input": [1, 2]}),
        ("input", {"input": [[1, 2]]}),
        ("encoding_format", {"encoding_format": "int8"}),
        ("dimensions", {"dimensions": 0}),
        ("dimensions", {"dimensions": 5}),
    ],
)
async def test_a_parameter_that_cannot_be_used_is_named(
    client: openai.AsyncOpenAI, param: str, body: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(**{"model": "vectors", "input": "x"} | body)
    assert caught.value.param == param


async def test_a_model_that_is_not_there(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="try pulling it first") as caught:
        await client.embeddings.create(model="nobody", input="x")
    assert caught.value.code == "model_not_found"
