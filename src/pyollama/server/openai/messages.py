"""OpenAI's messages to ours; what is malformed is refused in Ollama's words."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any

from pyollama.errors import InvalidRequest
from pyollama.server.body import parse_json
from pyollama.server.openai import schemas
from pyollama.types import JSON, Message, ToolCall

_DATA_URL = re.compile(r"data:(?:image/(?:jpeg|jpg|png|webp))?;base64,(.*)", re.DOTALL)
_GO_TYPES = {
    type(None): "<nil>",
    bool: "bool",
    int: "float64",
    float: "float64",
    dict: "map[string]interface {}",
}


def messages(bodies: Iterable[schemas.Message]) -> tuple[Message, ...]:
    """The result of a call gets the name of the function, which other dialects go by."""
    found: list[Message] = []
    called: dict[str, str] = {}
    for index, body in enumerate(bodies):
        where = f"messages[{index}]"
        calls = tuple(
            _call(call, position, f"{where}.tool_calls[{position}]")
            for position, call in enumerate(body.tool_calls)
        )
        called |= {call.id: call.name for call in calls}
        text, media = _content(body, f"{where}.content")
        is_result = body.role.lower() == "tool"
        found.append(
            Message(
                role=body.role.lower(),
                content=text,
                thinking=body.reasoning,
                images=media,
                tool_calls=calls,
                tool_name=body.name or called.get(body.tool_call_id, "") if is_result else "",
                tool_call_id=body.tool_call_id,
            )
        )
    return tuple(found)


def _call(body: schemas.ToolCall, position: int, where: str) -> ToolCall:
    field = f"{where}.function.arguments"
    try:
        arguments = parse_json(body.function.arguments.encode())
    except (InvalidRequest, AttributeError) as error:
        raise InvalidRequest("invalid tool call arguments", field=field) from error
    if not isinstance(arguments, dict):
        raise InvalidRequest("invalid tool call arguments", field=field)
    return ToolCall(body.function.name, arguments, body.id, position)


def _content(body: schemas.Message, field: str) -> tuple[str, tuple[bytes, ...]]:
    """The text of a message, parts of it apart by a blank line, and its images and sounds."""
    content = body.content
    if isinstance(content, str):
        return content, ()
    if isinstance(content, list):
        parts = [_part(part, f"{field}[{index}]") for index, part in enumerate(content)]
        texts = [part for part in parts if isinstance(part, str)]
        return "\n\n".join(texts), tuple(part for part in parts if isinstance(part, bytes))
    if content is None and body.tool_calls:
        return "", ()
    raise InvalidRequest(f"invalid message content type: {_GO_TYPES[type(content)]}", field=field)


def _part(part: Any, field: str) -> str | bytes:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "refusal") and isinstance(part.get(kind), str):
        text: str = part[kind]
        return text
    if kind == "image_url":
        return _image(part.get("image_url"), field)
    if kind == "input_audio":
        return _audio(part.get("input_audio"), field)
    raise InvalidRequest("invalid message format", field=field)


def _image(value: Any, field: str) -> bytes:
    url = value.get("url") if isinstance(value, dict) else value
    if not isinstance(url, str):
        raise InvalidRequest("invalid message format", field=field)
    if url.startswith(("http://", "https://")):
        raise InvalidRequest(
            "image URLs are not currently supported, please use base64 encoded data instead",
            field=field,
        )
    matched = _DATA_URL.fullmatch(url)
    if matched is None:
        raise InvalidRequest("invalid image input", field=field)
    return _bytes(matched[1], "invalid image input", field)


def _audio(value: JSON | None, field: str) -> bytes:
    if not isinstance(value, dict):
        raise InvalidRequest("invalid input_audio format", field=field)
    data = value.get("data")
    if not isinstance(data, str):
        raise InvalidRequest("invalid input_audio format: missing data", field=field)
    return _bytes(data, "invalid input_audio data", field)


def _bytes(text: str, complaint: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(complaint, field=field) from error
