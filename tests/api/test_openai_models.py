"""``/v1/models`` and the form of errors, through the official client."""

from __future__ import annotations

import openai
import pytest
from tests.api.openai_client import connected
from tests.api.world import World


async def test_all_models(world: World) -> None:
    async with connected(world) as client:
        listed = [model async for model in client.models.list()]
    assert {model.id for model in listed} == {
        "chat:latest",
        "think:latest",
        "tools:latest",
        "vectors:latest",
    }
    assert {model.owned_by for model in listed} == {"library"}
    assert {model.object for model in listed} == {"model"}


@pytest.mark.parametrize("name", ["chat", "CHAT:latest", "library/chat"])
async def test_one_model_under_the_name_it_was_asked_for(world: World, name: str) -> None:
    async with connected(world) as client:
        model = await client.models.retrieve(name)
    stored = world.store.resolve("chat")
    assert (model.id, model.created) == (name, int(stored.modified_at.timestamp()))


async def test_a_model_that_is_not_there(world: World) -> None:
    async with connected(world) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.models.retrieve("nobody")
    assert caught.value.body == {
        "message": "model 'nobody:latest' not found",
        "type": "not_found_error",
        "param": "model",
        "code": "model_not_found",
    }


async def test_a_name_that_cannot_be_one(world: World) -> None:
    async with connected(world) as client:
        with pytest.raises(openai.BadRequestError, match="invalid model name"):
            await client.models.retrieve("a b")


async def test_what_is_not_there_yet_says_so_in_the_same_form(world: World) -> None:
    async with connected(world) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.responses.create(model="chat", input="hi")
    assert caught.value.code == "not_found"
    assert "there is no POST /v1/responses" in caught.value.message
