"""Errors in OpenAI's form."""

from __future__ import annotations

from starlette.responses import Response

from pyollama.errors import (
    Busy,
    ContextLengthExceeded,
    InvalidOption,
    ModelNotFound,
    NotFound,
    PyollamaError,
)
from pyollama.server.errors import status_of
from pyollama.server.streaming import encode_json, json_response

_TYPES = {400: "invalid_request_error", 404: "not_found_error"}

_FIELDS = {"format": "response_format", "body": ""}
"""Fields that have another name here, or none."""

_RETRY_AFTER = 1
"""Seconds after which a client may ask a busy server again."""


def error_response(error: PyollamaError) -> Response:
    response = json_response(error_body(error), _status(error))
    if isinstance(error, Busy):
        response.headers["retry-after"] = str(_RETRY_AFTER)
    return response


def error_body(error: PyollamaError) -> bytes:
    body = {
        "message": _message(error),
        "type": _TYPES.get(_status(error), "api_error"),
        "param": _param(error),
        "code": error.code,
    }
    return encode_json({"error": body})


def page_not_found(method: str, path: str) -> Response:
    return error_response(NotFound(f"404 page not found: there is no {method} {path}"))


def _status(error: PyollamaError) -> int:
    """An option that cannot be used is the caller's mistake here; in Ollama's dialect it is not."""
    return 400 if isinstance(error, InvalidOption) else status_of(error)


def _message(error: PyollamaError) -> str:
    if not isinstance(error, ContextLengthExceeded):
        return error.message
    limit, length = error.details["context_length"], error.details["prompt_tokens"]
    return (
        f"This model's context length is {limit} tokens, but the request has {length} tokens. "
        "Shorten it, or set a larger num_ctx."
    )


def _param(error: PyollamaError) -> str | None:
    if isinstance(error, ModelNotFound):
        return "model"
    field = str(error.details.get("field", ""))
    return _FIELDS.get(field, field) or None
