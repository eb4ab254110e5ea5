"""What can be found wrong with a request to make a model before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pyollama.errors import InvalidRequest
from pyollama.types import CreateRequest

_TEXTS = ("model_family", "base_name", "quantization_level", "parameter_size")
_NUMBERS = ("context_length", "embedding_length")
_FIELDS = {"quantization_level": "file_type", "parameter_size": "model_type"}


def check_request(request: CreateRequest) -> None:
    """Raise for paths, digests and combinations that cannot be."""
    for files in (request.files, request.adapters, request.draft_files):
        for path in files or ():
            if not all(part not in ("", ".", "..") for part in path.split("/")) or "\\" in path:
                raise InvalidRequest("file path must be relative", field="files")
    for files in (request.files, request.adapters, request.draft_files):
        if files and not all(files.values()):
            raise InvalidRequest("invalid digest format", field="files")
    if request.draft_quantize and not request.draft_files:
        raise InvalidRequest("--draft-quantize requires a DRAFT model", field="draft_quantize")
    if request.draft_files and request.remote_host:
        raise InvalidRequest("DRAFT cannot be used with remote models", field="draft_files")
    if request.remote_host:
        remote_url(request.remote_host)
    if not request.base and request.files is None:
        raise InvalidRequest("neither 'from' or 'files' was specified", field="from")


def remote_url(text: str) -> str:
    """The address of another server, with a scheme."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InvalidRequest("bad remote", field="remote_host")
    return url


def check_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the config that ``info`` replaces; unknown keys have no effect."""
    fields: dict[str, Any] = {}
    for key, value in info.items():
        if key in _TEXTS:
            if not isinstance(value, str):
                raise _wrong(key, "a string")
        elif key in _NUMBERS:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise _wrong(key, "a number")
            if value < 0 or value != int(value):
                raise _wrong(key, "a non-negative integer")
            value = int(value)
        elif key == "capabilities":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise _wrong(key, "an array of strings")
            value = tuple(value)
        else:
            continue
        fields[_FIELDS.get(key, key)] = value
    return fields


def _wrong(key: str, kind: str) -> InvalidRequest:
    return InvalidRequest(f'info field "{key}" must be {kind}', field=f"info.{key}")
