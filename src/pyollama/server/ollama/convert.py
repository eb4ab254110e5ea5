"""Ollama's bodies to requests. What is malformed is refused here, in Ollama's words."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any, TypedDict

from pyollama.errors import InvalidRequest
from pyollama.server.callers import Caller
from pyollama.server.ollama import schemas
from pyollama.server.values import check_logprobs, keep_alive
from pyollama.types import (
    JSON,
    ChatRequest,
    CompletionRequest,
    CreateRequest,
    EmbeddingRequest,
    Message,
    Priority,
    Tool,
    ToolCall,
    TransferRequest,
)

_LEVELS = ("high", "medium", "low", "max")
_THINK_VALUES = '"high", "medium", "low", "max", true, or false'
_SOMEBODY = Caller()


class _Common(TypedDict):
    model: str
    files: bool
    options: JSON
    format: Any
    keep_alive: float | None
    think: bool | str | None
    truncate: bool
    shift: bool | None
    logprobs: bool
    top_logprobs: int
    render_only: bool
    priority: Priority
    key: str
    id: str


def completion(body: schemas.Generate, caller: Caller = _SOMEBODY) -> CompletionRequest:
    common = _common(body, caller)
    if body.raw and (body.template or body.system or body.context is not None):
        raise InvalidRequest("raw mode does not support template, system, or context", field="raw")
    return CompletionRequest(
        **common,
        prompt=body.prompt,
        suffix=body.suffix,
        system=body.system or None,
        template=body.template or None,
        context=None if body.context is None else tuple(body.context),
        raw=body.raw,
        images=_images(body.images),
    )


def chat(body: schemas.Chat, caller: Caller = _SOMEBODY) -> ChatRequest:
    common = _common(body, caller)
    if not body.model:
        raise InvalidRequest("model is required", field="model")
    return ChatRequest(
        **common,
        messages=messages(body.messages),
        tools=tuple(_tool(tool) for tool in body.tools),
    )


def embedding(body: schemas.Embed, caller: Caller = _SOMEBODY) -> EmbeddingRequest:
    return EmbeddingRequest(
        model=body.model,
        files=caller.files,
        inputs=_inputs(body.input),
        truncate=body.truncate,
        dimensions=max(body.dimensions, 0),
        keep_alive=keep_alive(body.keep_alive),
        options=body.options,
    )


def old_embedding(body: schemas.Embeddings, caller: Caller = _SOMEBODY) -> EmbeddingRequest:
    if not body.model:
        raise InvalidRequest("model is required", field="model")
    return EmbeddingRequest(
        model=body.model,
        files=caller.files,
        inputs=(body.prompt,) if body.prompt else (),
        truncate=False,
        keep_alive=keep_alive(body.keep_alive),
        options=body.options,
    )


def creation(body: schemas.Create) -> CreateRequest:
    return CreateRequest(
        model=body.wanted,
        base=body.from_,
        files=body.files,
        adapters=body.adapters,
        draft_files=body.draft_files,
        template=body.template,
        system=body.system,
        licenses=_licenses(body.license),
        parameters=body.parameters,
        messages=messages(body.messages),
        quantize=body.quantize or body.quantization,
        draft_quantize=body.draft_quantize,
        renderer=body.renderer,
        parser=body.parser,
        requires=body.requires,
        remote_host=body.remote_host,
        info=body.info,
    )


def transfer(body: schemas.Transfer) -> TransferRequest:
    if body.limit_rate < 0:
        raise InvalidRequest("limit_rate must be bytes per second, 0 or more", field="limit_rate")
    return TransferRequest(body.wanted, body.insecure, body.limit_rate)


def messages(bodies: Iterable[schemas.Message]) -> tuple[Message, ...]:
    return tuple(
        Message(
            role=body.role.lower(),
            content=body.content,
            thinking=body.thinking,
            images=_images(body.images),
            tool_calls=tuple(_tool_call(call) for call in body.tool_calls),
            tool_name=body.tool_name,
            tool_call_id=body.tool_call_id,
        )
        for body in bodies
    )


def think(value: Any) -> bool | str | None:
    if value is None or isinstance(value, bool) or value in _LEVELS:
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        raise InvalidRequest(
            f'invalid think value: "{value}" (must be {_THINK_VALUES})', field="think"
        )
    raise InvalidRequest(f"think must be a boolean or string ({_THINK_VALUES})", field="think")


def _common(body: schemas.Generation, caller: Caller) -> _Common:
    check_logprobs(body.top_logprobs)
    return _Common(
        model=body.model,
        files=caller.files,
        options=body.options,
        format=body.format if body.format != "" else None,
        keep_alive=keep_alive(body.keep_alive),
        think=think(body.think),
        truncate=body.truncate,
        shift=body.shift,
        logprobs=body.logprobs,
        top_logprobs=body.top_logprobs,
        render_only=body.render_only,
        priority=caller.priority,
        key=caller.key,
        id=caller.request_id,
    )


def _tool(body: schemas.Tool) -> Tool:
    function = body.function
    return Tool(function.name, function.description, function.parameters, body.type)


def _tool_call(body: schemas.ToolCall) -> ToolCall:
    function = body.function
    return ToolCall(function.name, function.arguments, body.id, function.index)


def _images(texts: Iterable[str]) -> tuple[bytes, ...]:
    try:
        return tuple(base64.b64decode(text, validate=True) for text in texts)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"images: illegal base64 data: {error}", field="images") from error


def _licenses(value: Any) -> tuple[str, ...]:
    texts = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("license must be a text or a list of texts", field="license")
    return tuple(text for text in texts if text)


def _inputs(value: Any) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise InvalidRequest("invalid input type", field="input")
