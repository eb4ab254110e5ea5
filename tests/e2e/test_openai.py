"""OpenAI's own client against a real server with real models."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import numpy as np
import openai
import pytest
from tests.e2e.running import Server, running_server
from tests.e2e.server_models import made, upload
from tests.native import tiny

SETTINGS = {"OLLAMA_NUM_PARALLEL": "4", "PYOLLAMA_BUILTIN": "0"}
TOOLS = (
    "{{ range .Tools }}{{ .Function.Name }} {{ end }}{{ range .Messages }}<|im_start|>{{ .Role }}\n"
    "{{ .Content }}{{ range .ToolCalls }}<tool_call>{{ json .Function }}</tool_call>{{ end }}"
    "<|im_end|>\n{{ end }}<|im_start|>assistant\n"
)
QUESTION: Any = [{"role": "user", "content": "the cat and the hat"}]
# Random weights say the same for ever; a chance among likely tokens does not.
ASKED: dict[str, Any] = {"model": "tiny", "messages": QUESTION, "max_completion_tokens": 24}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("home"), SETTINGS) as running:
        folder = tmp_path_factory.mktemp("files")
        chat = tiny.llama_like(folder / "llama.gguf")
        for name, path, more in (
            ("tiny", chat, {}),
            ("go", chat, {"template": TOOLS}),
            ("vectors", tiny.bert_like(folder / "bert.gguf"), {}),
        ):
            made(running, name, files={path.name: upload(running, path)}, **more)
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="anything", base_url=f"{server.url}/v1", max_retries=0) as client:
        yield client


def text_of(client: openai.OpenAI, **body: Any) -> str:
    answer = client.chat.completions.create(**ASKED | body)
    return answer.choices[0].message.content or ""


def test_models(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {
        "go:latest",
        "tiny:latest",
        "vectors:latest",
    }
    assert client.models.retrieve("tiny").id == "tiny"


def test_the_same_answer_whole_streamed_and_in_ollamas_dialect(
    server: Server, client: openai.OpenAI
) -> None:
    body: dict[str, Any] = {"seed": 11, "temperature": 1.0, "top_p": 1.0}
    whole = client.chat.completions.create(**ASKED | body)
    chunks = list(
        client.chat.completions.create(
            **ASKED | body, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    options = {**body, "num_predict": 24}
    asked = {"model": "tiny", "messages": QUESTION, "options": options, "stream": False}
    native = httpx.post(f"{server.url}/api/chat", json=asked, timeout=120).json()
    assert native["message"]["content"] == text
    assert whole.usage is not None
    assert native["prompt_eval_count"] == whole.usage.prompt_tokens
    assert native["eval_count"] == whole.usage.completion_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_several_answers_are_those_of_their_seeds(client: openai.OpenAI, stream: bool) -> None:
    texts: dict[int, str] = {}
    if stream:
        for chunk in client.chat.completions.create(**ASKED, n=3, seed=5, stream=True):
            for choice in chunk.choices:
                texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    else:
        answer = client.chat.completions.create(**ASKED, n=3, seed=5)
        texts = {choice.index: choice.message.content or "" for choice in answer.choices}
    assert len(set(texts.values())) == 3
    assert texts == {index: text_of(client, seed=5 + index) for index in range(3)}


def test_the_bias_of_a_token(server: Server, client: openai.OpenAI) -> None:
    """A token of this vocabulary has the number of its byte."""
    assert text_of(client, logit_bias={"65": 100}, temperature=0) == "A" * 24
    with pytest.raises(openai.BadRequestError) as caught:
        text_of(client, logit_bias={"100000": 1})
    assert "100000" in caught.value.message


def test_answers_that_fit_a_schema(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "size": {"enum": ["S", "M", "L"]}},
        "required": ["ok", "size"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "shirt", "schema": schema}}
    for seed in range(3):
        text = text_of(client, response_format=wanted, seed=seed, max_completion_tokens=200)
        jsonschema.validate(json.loads(text), schema)


def test_calls_that_have_to_be_made(client: openai.OpenAI) -> None:
    """Of a model that would never call anything by itself."""
    shirt = {
        "type": "object",
        "properties": {"size": {"$ref": "#/$defs/Size"}, "count": {"enum": [1, 2, 3]}},
        "required": ["size", "count"],
        "additionalProperties": False,
        "$defs": {"Size": {"enum": ["S", "M", "L"]}},
    }
    day = {
        "type": "object",
        "properties": {"day": {"enum": ["today", "tomorrow"]}},
        "required": ["day"],
        "additionalProperties": False,
    }
    schemas = {"buy": shirt, "deliver": day}
    tools: Any = [
        {"type": "function", "function": {"name": name, "parameters": schema}}
        for name, schema in schemas.items()
    ]
    named: Any = {"type": "function", "function": {"name": "deliver"}}
    choices: list[tuple[Any, set[str]]] = [("required", {"buy", "deliver"}), (named, {"deliver"})]
    for choice, allowed in choices:
        answer = client.chat.completions.create(
            model="go", messages=QUESTION, tools=tools, tool_choice=choice, n=8, seed=0
        )
        for given in answer.choices:
            assert given.finish_reason == "tool_calls"
            assert given.message.tool_calls is not None
            (call,) = given.message.tool_calls
            assert call.type == "function"
            assert call.function.name in allowed
            jsonschema.validate(json.loads(call.function.arguments), schemas[call.function.name])


def test_a_tool_whose_schema_cannot_be_enforced(client: openai.OpenAI) -> None:
    function: Any = {"name": "f", "parameters": {"type": "object", "not": {"required": ["x"]}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="go",
            messages=QUESTION,
            tools=[{"type": "function", "function": function}],
            tool_choice="required",
        )
    assert (caught.value.code, caught.value.param) == ("invalid_grammar", "tools")


def test_a_schema_that_cannot_be_enforced(client: openai.OpenAI) -> None:
    schema = {"type": "string", "not": {"const": "x"}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(openai.BadRequestError, match="not") as caught:
        text_of(client, response_format=wanted)
    assert (caught.value.code, caught.value.param) == ("invalid_grammar", "response_format")


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_too_long(client: openai.OpenAI, stream: bool) -> None:
    turns = [*QUESTION, {"role": "user", "content": "the cat " * 400}]
    with pytest.raises(openai.BadRequestError, match="context length is 128 tokens") as caught:
        client.chat.completions.create(
            model="tiny", messages=turns, stream=stream, extra_body={"num_ctx": 128}
        )
    assert caught.value.code == "context_length_exceeded"


def test_an_answer_ends_where_the_context_does(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=QUESTION, extra_body={"num_ctx": 64}, seed=1
    )
    assert answer.usage is not None
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.total_tokens <= 64


def test_a_stream_that_is_left_early_frees_its_slot(server: Server, client: openai.OpenAI) -> None:
    body = ASKED | {"max_completion_tokens": 100_000, "seed": 2, "n": 4}
    with client.chat.completions.create(**body, stream=True) as stream:
        next(stream)
    # All four slots were taken; four more answers are only there when they are free.
    assert len(client.chat.completions.create(**ASKED, n=4).choices) == 4


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="tiny", prompt=["the cat", "the hat"], n=2, best_of=3, max_tokens=8, logprobs=2
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    for choice in answer.choices:
        assert choice.logprobs is not None
        assert choice.logprobs.token_logprobs is not None
        assert len(choice.logprobs.token_logprobs) == len(choice.logprobs.tokens or ())
    first, second = (
        np.mean(choice.logprobs.token_logprobs or ())
        for choice in answer.choices[:2]
        if choice.logprobs
    )
    assert first >= second


def test_embeddings(server: Server, client: openai.OpenAI) -> None:
    texts = ["hello world", "the cat sat"]
    native = httpx.post(f"{server.url}/api/embed", json={"model": "vectors", "input": texts})
    expected = np.array(native.json()["embeddings"], np.float32)
    for form in ("float", "base64"):
        asked = {"model": "vectors", "input": texts, "encoding_format": form}
        data = httpx.post(f"{server.url}/v1/embeddings", json=asked).json()["data"]
        vectors = [_numbers(entry["embedding"]) for entry in data]
        assert np.array(vectors) == pytest.approx(expected, abs=1e-6)
    answer = client.embeddings.create(model="vectors", input=texts)
    assert np.array([it.embedding for it in answer.data]) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(openai.APIStatusError, match="does not support embeddings"):
        client.embeddings.create(model="tiny", input="x")


def _numbers(embedding: str | list[float]) -> Any:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), "<f4")
    return np.array(embedding)


def test_a_worker_that_dies_is_an_error_of_the_client(
    server: Server, client: openai.OpenAI
) -> None:
    body = ASKED | {"max_completion_tokens": 100_000, "seed": 3}
    stream = client.chat.completions.create(**body, stream=True)
    next(stream)
    for worker in server.workers():
        worker.kill()
    with pytest.raises(openai.APIError, match=r"worker|process"):
        list(stream)
    assert text_of(client)
