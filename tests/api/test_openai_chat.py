"""``/v1/chat/completions`` through the official client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel
from tests.api.openai_client import connected
from tests.api.world import SCRIPTS, World

from pyollama.types import Grammar, SamplingParams

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
_PNG = "data:image/png;base64,iVBORw0KGgo="


def _named(name: str) -> Any:
    return {"type": "function", "function": {"name": name}}


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.fixture
async def client(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    async with connected(world) as client:
        yield client


async def streamed(
    client: openai.AsyncOpenAI, **body: Any
) -> tuple[list[ChatCompletionChunk], dict[int, str]]:
    """The chunks of a stream, and the text of every choice."""
    chunks = [chunk async for chunk in await client.chat.completions.create(**body, stream=True)]
    texts: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    return chunks, texts


async def test_an_answer(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="chat", messages=said("hi"))
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "Hello there.")
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (20, 4)
    assert answer.usage.total_tokens == 24
    assert (answer.object, answer.model) == ("chat.completion", "chat")


async def test_a_stream(client: openai.AsyncOpenAI) -> None:
    chunks, texts = await streamed(client, model="chat", messages=said("hi"))
    assert texts == {0: "Hello there."}
    assert [c.choices[0].delta.role for c in chunks] == ["assistant", None, None, None]
    assert [c.choices[0].finish_reason for c in chunks] == [None, None, None, "stop"]
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert all(chunk.usage is None for chunk in chunks)


async def test_the_usage_of_a_stream_comes_last(client: openai.AsyncOpenAI) -> None:
    wanted = {"include_usage": True}
    chunks, _ = await streamed(client, model="chat", messages=said("hi"), stream_options=wanted)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 24


async def test_several_answers_count_their_prompt_once(
    world: World, client: openai.AsyncOpenAI
) -> None:
    body: dict[str, Any] = {"model": "chat", "messages": said("hi"), "n": 3, "seed": 7}
    answer = await client.chat.completions.create(**body)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (20, 12)
    assert sorted(request.sampling.seed for request in world.engines[0].requests) == [7, 8, 9]
    chunks, texts = await streamed(client, **body, stream_options={"include_usage": True})
    assert texts == dict.fromkeys(range(3), "Hello there.")
    assert sum(chunk.choices == [] for chunk in chunks) == 1
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12


async def test_several_answers_without_a_seed_are_random(
    world: World, client: openai.AsyncOpenAI
) -> None:
    await client.chat.completions.create(model="chat", messages=said("hi"), n=2)
    assert [request.sampling.seed for request in world.engines[0].requests] == [-1, -1]


async def test_parameters_reach_the_engine(world: World, client: openai.AsyncOpenAI) -> None:
    await client.chat.completions.create(
        model="chat",
        messages=said("hi"),
        temperature=0.25,
        top_p=0.5,
        seed=3,
        stop=["x", "y"],
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        logit_bias={"65": -100},
        max_completion_tokens=2,
        max_tokens=9,
        extra_body={"options": {"top_k": 7, "temperature": 2}, "num_ctx": 256},
    )
    (request,) = world.engines[0].requests
    assert request.sampling == SamplingParams(
        temperature=0.25,
        top_p=0.5,
        top_k=7,
        seed=3,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        logit_bias={65: -100.0},
    )
    assert (request.stop, request.max_tokens, request.n_ctx) == (("x", "y"), 2, 256)
    assert not request.shift


async def test_sampling_is_not_the_models_own_and_its_stop_texts_stay(
    world: World, client: openai.AsyncOpenAI
) -> None:
    await client.chat.completions.create(model="chat", messages=said("hi"))
    (request,) = world.engines[0].requests
    assert (request.sampling.temperature, request.sampling.top_p) == (1.0, 1.0)
    assert request.stop == ("[user]",)


async def test_length(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="chat", messages=said("hi"), max_completion_tokens=1
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (
        "Hello",
        "length",
    )


async def test_keep_alive(world: World, client: openai.AsyncOpenAI) -> None:
    await client.chat.completions.create(
        model="chat", messages=said("hi"), extra_body={"keep_alive": 0}
    )
    assert world.pool.ps() == []


@pytest.mark.parametrize("stream", [False, True])
async def test_thinking(client: openai.AsyncOpenAI, stream: bool) -> None:
    if stream:
        chunks, texts = await streamed(client, model="think", messages=said("@think"))
        assert texts == {0: "Forty-two."}
        thoughts = [getattr(chunk.choices[0].delta, "reasoning", "") for chunk in chunks]
        assert "".join(thoughts) == "Let me see."
    else:
        answer = await client.chat.completions.create(model="think", messages=said("@think"))
        message = answer.choices[0].message
        assert message.content == "Forty-two."
        assert message.model_extra == {"reasoning": "Let me see."}


async def test_effort_where_a_model_cannot_think(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match='"chat" does not support thinking'):
        await client.chat.completions.create(
            model="chat", messages=said("hi"), reasoning_effort="high"
        )
    answer = await client.chat.completions.create(
        model="chat", messages=said("hi"), reasoning_effort="none"
    )
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_and_its_result(
    world: World, client: openai.AsyncOpenAI, stream: bool
) -> None:
    messages = said("Weather? @tool")
    body: dict[str, Any] = {"model": "tools", "messages": messages, "tools": [WEATHER]}
    if stream:
        chunks, texts = await streamed(client, **body)
        assert texts == {0: "Look: "}
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
        (delta,) = [c.choices[0].delta for c in chunks if c.choices[0].delta.tool_calls]
        assert delta.tool_calls is not None
        assert delta.tool_calls[0].function is not None
        name, arguments = delta.tool_calls[0].function.name, delta.tool_calls[0].function.arguments
        called: Any = delta.tool_calls[0].model_dump()
    else:
        answer = await client.chat.completions.create(**body)
        assert answer.choices[0].finish_reason == "tool_calls"
        assert answer.choices[0].message.content == "Look: "
        assert answer.choices[0].message.tool_calls is not None
        called = answer.choices[0].message.tool_calls[0].model_dump()
        name, arguments = called["function"]["name"], called["function"]["arguments"]
    assert (name, json.loads(arguments or "")) == ("weather", {"city": "Rome"})
    result = {"role": "tool", "tool_call_id": called["id"], "content": "rain"}
    turns: list[Any] = [*messages, {"role": "assistant", "tool_calls": [called]}, result]
    await client.chat.completions.create(model="tools", messages=turns, tools=[WEATHER])
    prompt = bytes(world.engines[0].requests[-1].tokens).decode()
    assert '[assistant]<tool_call>{"name": "weather"}\n[tool]rain\n' in prompt


async def test_only_one_call_where_calls_may_not_be_parallel(
    client: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'
    monkeypatch.setitem(SCRIPTS, "@two", (one, one))
    body: dict[str, Any] = {"model": "tools", "messages": said("@two"), "tools": [WEATHER]}
    for parallel, expected in ((True, 2), (False, 1)):
        answer = await client.chat.completions.create(**body, parallel_tool_calls=parallel)
        assert len(answer.choices[0].message.tool_calls or ()) == expected


async def test_no_calls_where_none_are_wanted(world: World, client: openai.AsyncOpenAI) -> None:
    await client.chat.completions.create(
        model="tools", messages=said("hi"), tools=[WEATHER], tool_choice="none"
    )
    prompt = bytes(world.engines[0].requests[-1].tokens).decode()
    assert "weather" not in prompt


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["required", _named("weather")])
async def test_a_call_that_has_to_be_made(
    world: World,
    client: openai.AsyncOpenAI,
    monkeypatch: pytest.MonkeyPatch,
    choice: Any,
    stream: bool,
) -> None:
    monkeypatch.setitem(
        SCRIPTS, "@call", ('{"name": "weather", ', '"arguments": {"city": "Rome"}}')
    )
    body: dict[str, Any] = {"model": "tools", "messages": said("@call"), "tool_choice": choice}
    body["tools"] = [WEATHER, {"type": "function", "function": {"name": "time"}}]
    if stream:
        chunks, texts = await streamed(client, **body)
        assert texts == {0: ""}
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
        calls: Any = [call for c in chunks for call in c.choices[0].delta.tool_calls or ()]
    else:
        answer = await client.chat.completions.create(**body)
        assert answer.choices[0].finish_reason == "tool_calls"
        calls = answer.choices[0].message.tool_calls
    (call,) = calls
    assert call.id.startswith("call_")
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Rome"}')
    (request,) = world.engines[0].requests
    assert request.sampling.grammar is not None
    assert request.sampling.grammar.kind == "json_schema"
    assert ('"time"' in request.sampling.grammar.text) == (choice == "required")


async def test_a_demanded_call_that_is_cut_short(
    client: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        SCRIPTS, "@call", ('{"name": "weather", ', '"arguments": {"city": "Rome"}}')
    )
    answer = await client.chat.completions.create(
        model="tools",
        messages=said("@call"),
        tools=[WEATHER],
        tool_choice="required",
        max_completion_tokens=1,
    )
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.tool_calls) == ("length", None)
    assert choice.message.content == '{"name": "weather", '


async def test_response_formats(world: World, client: openai.AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    formats: list[Any] = [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        {"type": "text"},
    ]
    for wanted in formats:
        await client.chat.completions.create(
            model="chat", messages=said("@json"), response_format=wanted
        )
    grammars = [request.sampling.grammar for request in world.engines[0].requests]
    assert grammars[0] == Grammar(kind="json")
    assert grammars[1] is not None
    assert (grammars[1].kind, json.loads(grammars[1].text)) == ("json_schema", schema)
    assert grammars[2] is None


async def test_parse_of_the_client(client: openai.AsyncOpenAI) -> None:
    class Answer(BaseModel):
        a: int

    parsed = await client.chat.completions.parse(
        model="chat", messages=said("@json"), response_format=Answer
    )
    assert parsed.choices[0].message.parsed == Answer(a=1)


@pytest.mark.parametrize("stream", [False, True])
async def test_logprobs(client: openai.AsyncOpenAI, stream: bool) -> None:
    body: dict[str, Any] = {"model": "chat", "messages": said("hi")}
    body |= {"logprobs": True, "top_logprobs": 2}
    if stream:
        chunks, _ = await streamed(client, **body)
        lists = [c.choices[0].logprobs.content for c in chunks if c.choices[0].logprobs]
        entries = [entry for found in lists for entry in found or ()]
    else:
        answer = await client.chat.completions.create(**body)
        assert answer.choices[0].logprobs is not None
        entries = answer.choices[0].logprobs.content or []
    assert [entry.token for entry in entries] == ["Hello", " there", "."]
    assert [entry.logprob for entry in entries] == [-0.25] * 3
    assert entries[0].bytes == list(b"Hello")
    assert [other.token for other in entries[0].top_logprobs] == ["other", "other"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_is_too_long_is_refused(
    client: openai.AsyncOpenAI, stream: bool
) -> None:
    turns = [*said("first"), *said("x" * 600)]
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="chat", messages=turns, stream=stream)
    assert caught.value.code == "context_length_exceeded"
    assert "512 tokens" in caught.value.message
    assert "625 tokens" in caught.value.message


async def test_a_failure_in_a_stream_is_an_error_of_the_client(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="chat", messages=said("@breaks"), stream=True
    )
    first = await anext(stream)
    assert first.choices[0].delta.content == "Hello"
    with pytest.raises(openai.APIError, match="the model broke"):
        await anext(stream)


async def test_one_failure_ends_all_answers(world: World, client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="the model is broken"):
        await client.chat.completions.create(model="chat", messages=said("@broken"), n=3)
    assert world.engines[0].running == 0


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("messages", {"messages": []}),
        ("messages[0].content", {"messages": [{"role": "user"}]}),
        ("messages[0].content[0]", {"messages": [{"role": "user", "content": [{"type": "x"}]}]}),
        ("model", {"model": ""}),
        ("n", {"n": 0}),
        ("n", {"n": 1000}),
        ("stop", {"stop": [1]}),
        ("logit_bias", {"logit_bias": {"x": 1}}),
        ("logit_bias", {"logit_bias": {"1": 200}}),
        ("top_logprobs", {"top_logprobs": 2}),
        ("top_logprobs", {"logprobs": True, "top_logprobs": 21}),
        ("temperature", {"temperature": "warm"}),
        ("max_completion_tokens", {"max_completion_tokens": "many"}),
        ("reasoning_effort", {"reasoning_effort": "loud"}),
        ("response_format.type", {"response_format": {"type": "yaml"}}),
        ("response_format.json_schema.schema", {"response_format": {"type": "json_schema"}}),
        ("tools[0].type", {"tools": [{"type": "custom"}]}),
        ("tool_choice", {"tool_choice": "required"}),
        ("tool_choice", {"tools": [WEATHER], "tool_choice": "always"}),
        ("tool_choice", {"tools": [WEATHER], "tool_choice": {"type": "function"}}),
        ("tool_choice", {"tools": [WEATHER], "tool_choice": _named("time")}),
        ("modalities", {"modalities": ["text", "audio"]}),
        ("functions", {"functions": [{"name": "f"}]}),
        ("web_search_options", {"web_search_options": {"user_location": {}}}),
        ("verbosity", {"verbosity": "low"}),
        ("options.top_k", {"extra_body": {"options": {"top_k": "many"}}}),
        ("keep_alive", {"extra_body": {"keep_alive": "soon"}}),
    ],
)
async def test_a_parameter_that_cannot_be_used_is_named(
    client: openai.AsyncOpenAI, param: str, body: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**{"model": "chat", "messages": said("hi")} | body)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


async def test_a_model_that_is_not_there(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="model 'nobody' not found") as caught:
        await client.chat.completions.create(model="nobody", messages=said("hi"))
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_parts_of_a_message_stay_one_message(
    world: World, client: openai.AsyncOpenAI
) -> None:
    parts: Any = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    await client.chat.completions.create(
        model="chat",
        messages=[{"role": "user", "content": parts}],
    )
    prompt = bytes(world.engines[0].requests[-1].tokens).decode()
    assert prompt == "[user]a\n\nb\n[assistant]"


async def test_images_for_a_model_that_cannot_see(client: openai.AsyncOpenAI) -> None:
    part: Any = {"type": "image_url", "image_url": {"url": _PNG}}
    with pytest.raises(openai.BadRequestError, match="cannot read images"):
        await client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": [part]}]
        )
    part["image_url"]["url"] = "https://images.example/cat.png"
    with pytest.raises(openai.BadRequestError, match="image URLs are not currently supported"):
        await client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": [part]}]
        )
