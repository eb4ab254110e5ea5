"""OpenAI's bodies to requests. A parameter that cannot have its effect is refused by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from pyollama.errors import InvalidRequest
from pyollama.server.callers import Caller
from pyollama.server.openai import schemas
from pyollama.server.openai.messages import messages
from pyollama.server.values import check_logprobs, keep_alive
from pyollama.types import JSON, ChatRequest, CompletionRequest, EmbeddingRequest, Priority, Tool

_SOMEBODY = Caller()
_MOST_CHOICES = 128
_MOST_BIAS = 100
_SEEDS = (1 << 32) - 1
"""How many seeds there are; llama.cpp reads the one number more as a random one."""

_EFFORTS: dict[str, bool | str | None] = {
    "": None,
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}
_EFFORT_NAMES = '"minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none"'


class _Common(TypedDict):
    model: str
    files: bool
    keep_alive: float | None
    truncate: bool
    shift: bool
    priority: Priority
    key: str
    id: str


def chat(body: schemas.ChatCompletion, caller: Caller = _SOMEBODY) -> list[ChatRequest]:
    """One request for every answer that is wanted."""
    if not body.messages:
        raise InvalidRequest("[] is too short - 'messages'", field="messages")
    if not body.model:
        raise InvalidRequest("model is required", field="model")
    _refuse_unknown(body)
    check_logprobs(body.top_logprobs)
    if body.top_logprobs and not body.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs to be true", field="top_logprobs")
    conversation = messages(body.messages)
    tools, wanted_format, effort = _tools(body), _format(body.response_format), _think(body)
    most = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    return [
        ChatRequest(
            **_common(body, caller),
            messages=conversation,
            tools=tools,
            format=wanted_format,
            think=effort,
            logprobs=body.logprobs,
            top_logprobs=body.top_logprobs,
            render_only=body.render_only,
            options=options,
        )
        for options in _options(body, most, body.n)
    ]


@dataclass(frozen=True, slots=True)
class Completions:
    """Requests for ``tried`` answers to every prompt in turn, of which ``n`` are wanted.

    ``echo`` are the texts that go in front of the answers, one for every prompt.
    """

    requests: list[CompletionRequest]
    n: int
    tried: int
    echo: list[str]


def completions(body: schemas.Completion, caller: Caller = _SOMEBODY) -> Completions:
    prompts = _prompts(body.prompt)
    tried = _tried(body)
    if len(prompts) * tried > _MOST_CHOICES:
        raise InvalidRequest(
            f"prompt: there can be at most {_MOST_CHOICES} answers at a time", field="prompt"
        )
    if body.logprobs is not None:
        check_logprobs(body.logprobs, "logprobs")
    if body.echo and body.logprobs is not None:
        raise InvalidRequest(
            "echo cannot be combined with logprobs: there are none of the prompt", field="echo"
        )
    ranked = tried > body.n
    requests = [
        CompletionRequest(
            **_common(body, caller),
            prompt=prompt,
            suffix=body.suffix,
            logprobs=body.logprobs is not None or ranked,
            top_logprobs=body.logprobs or 0,
            options=options,
        )
        for prompt in prompts
        for options in _options(body, body.max_tokens, tried)
    ]
    return Completions(requests, body.n, tried, prompts if body.echo else [])


def embeddings(body: schemas.Embeddings, caller: Caller = _SOMEBODY) -> EmbeddingRequest:
    if body.encoding_format.lower() not in ("float", "base64"):
        raise InvalidRequest(
            f"Invalid value for 'encoding_format' = {body.encoding_format}. "
            "Supported values: ['float', 'base64'].",
            field="encoding_format",
        )
    if body.dimensions is not None and body.dimensions < 1:
        raise InvalidRequest("dimensions must be at least 1", field="dimensions")
    size = {} if body.num_ctx is None else {"num_ctx": body.num_ctx}
    return EmbeddingRequest(
        model=body.model,
        files=caller.files,
        inputs=_inputs(body.input),
        truncate=body.truncate,
        dimensions=body.dimensions or 0,
        keep_alive=keep_alive(body.keep_alive),
        options=body.options | size,
    )


def _inputs(value: Any) -> tuple[str, ...]:
    if value is None or value == []:
        raise InvalidRequest("invalid input", field="input")
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return tuple(texts)
    raise InvalidRequest("invalid input type", field="input")


def _prompts(value: Any) -> list[str]:
    if value is None:
        return [""]
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts):
        return texts
    raise InvalidRequest("prompt must be a text or a list of texts", field="prompt")


def _tried(body: schemas.Completion) -> int:
    if body.best_of is None:
        return body.n
    if not body.n <= body.best_of <= _MOST_CHOICES:
        raise InvalidRequest(f"best_of must be between n and {_MOST_CHOICES}", field="best_of")
    if body.stream and body.best_of > body.n:
        raise InvalidRequest("best_of cannot choose from a stream", field="best_of")
    return body.best_of


def must_call(body: schemas.ChatCompletion) -> bool:
    """Whether the answer has to be a call, of one of the tools in the request."""
    return body.tool_choice not in (None, "auto", "none")


def _common(body: schemas.Generation, caller: Caller) -> _Common:
    return _Common(
        model=body.model,
        files=caller.files,
        keep_alive=keep_alive(body.keep_alive),
        truncate=False,
        shift=False,
        priority=caller.priority,
        key=caller.key,
        id=caller.request_id,
    )


def _options(body: schemas.Generation, most: int | None, count: int) -> list[JSON]:
    """The options of each of ``count`` answers, which differ in their seed.

    Sampling is OpenAI's, not the model's own, unless ``options`` say so.
    """
    if not 1 <= body.n <= _MOST_CHOICES:
        raise InvalidRequest(f"n must be between 1 and {_MOST_CHOICES}", field="n")
    given: JSON = {
        "num_ctx": body.num_ctx,
        "num_predict": most,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "presence_penalty": body.presence_penalty,
        "frequency_penalty": body.frequency_penalty,
        "seed": body.seed,
        "stop": _stop(body.stop),
        "logit_bias": _biases(body.logit_bias),
    }
    given = {name: value for name, value in given.items() if value is not None}
    options = {"temperature": 1.0, "top_p": 1.0} | body.options | given
    return [options | _seed(options, index) for index in range(count)] if count > 1 else [options]


def _seed(options: JSON, index: int) -> JSON:
    """A seed that was given goes up by one with each answer; otherwise all are random."""
    seed = options.get("seed")
    if isinstance(seed, int) and seed >= 0:
        return {"seed": (seed + index) % _SEEDS}
    return {"seed": -1}


def _stop(value: Any) -> list[str] | None:
    if value is None:
        return None
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return texts
    raise InvalidRequest("stop must be a text or a list of texts", field="stop")


def _biases(biases: dict[str, float]) -> JSON | None:
    for token, bias in biases.items():
        if not (token.isascii() and token.isdigit() and len(token) < 10):
            raise InvalidRequest(f"logit_bias: {token!r} is no id of a token", field="logit_bias")
        if not -_MOST_BIAS <= bias <= _MOST_BIAS:
            raise InvalidRequest(
                f"logit_bias must be between -{_MOST_BIAS} and {_MOST_BIAS}", field="logit_bias"
            )
    return dict(biases) or None


def _format(wanted: schemas.ResponseFormat) -> str | JSON | None:
    if wanted.type in ("", "text"):
        return None
    if wanted.type == "json_object":
        return "json"
    if wanted.type != "json_schema":
        raise InvalidRequest(
            f"response_format: {wanted.type!r} must be one of text, json_object, json_schema",
            field="response_format.type",
        )
    if wanted.json_schema.schema is None:
        raise InvalidRequest(
            "response_format: json_schema needs a schema",
            field="response_format.json_schema.schema",
        )
    return wanted.json_schema.schema


def _think(body: schemas.ChatCompletion) -> bool | str | None:
    effort = body.reasoning.effort or body.reasoning_effort
    if effort not in _EFFORTS:
        raise InvalidRequest(
            f'invalid reasoning value: "{effort}" (must be {_EFFORT_NAMES})',
            field="reasoning.effort" if body.reasoning.effort else "reasoning_effort",
        )
    return _EFFORTS[effort]


def _tools(body: schemas.ChatCompletion) -> tuple[Tool, ...]:
    for index, tool in enumerate(body.tools):
        if tool.type not in ("", "function"):
            raise InvalidRequest(
                f"tools[{index}]: {tool.type!r} is not there, only functions are",
                field=f"tools[{index}].type",
            )
    if body.tool_choice == "none":
        return ()
    tools = [
        Tool(tool.function.name, tool.function.description, tool.function.parameters, tool.type)
        for tool in body.tools
    ]
    if body.tool_choice in (None, "auto"):
        return tuple(tools)
    allowed = {tool.name for tool in tools} & _allowed(body.tool_choice, tools)
    if not allowed:
        raise InvalidRequest("tool_choice: tools has no such function", field="tool_choice")
    return tuple(tool for tool in tools if tool.name in allowed)


def _allowed(choice: Any, tools: list[Tool]) -> set[str]:
    """The names of the functions of which one has to be called."""
    if choice == "required":
        return {tool.name for tool in tools}
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise InvalidRequest(
            "tool_choice must be none, auto, required or the name of a function",
            field="tool_choice",
        )
    return {name}


def _refuse_unknown(body: schemas.ChatCompletion) -> None:
    """What OpenAI has and we have not; a value that asks for nothing special is fine."""
    asked = {
        "modalities": set(body.modalities) - {"text"},
        "audio": body.audio,
        "functions": body.functions,
        "function_call": body.function_call,
        "web_search_options": body.web_search_options,
        "verbosity": body.verbosity != "medium",
    }
    for name, value in asked.items():
        if value:
            hint = "; use tools" if name.startswith("function") else ""
            raise InvalidRequest(f"{name} is not supported{hint}", field=name)
