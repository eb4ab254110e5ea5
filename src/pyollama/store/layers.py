"""What goes into the layers of a model: which blob is what, and the bytes of the small ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyollama.errors import InvalidRequest
from pyollama.store import manifest as media
from pyollama.store.gguf import GGUFHeader
from pyollama.store.jsontext import encode_json, plain_numbers
from pyollama.store.manifest import Layer
from pyollama.store.model_config import ModelConfig
from pyollama.store.quantities import human_count
from pyollama.types import Message


@dataclass(frozen=True, slots=True)
class Part:
    """A layer of the new model, what to say about it, and its header if it is a GGUF file."""

    layer: Layer
    status: str
    header: GGUFHeader | None = None


def status(digest: str, new: bool) -> str:
    return f"{'creating new' if new else 'using existing'} layer {digest}"


def existing(digest: str) -> str:
    return status(digest, new=False)


def text_bytes(text: str, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{field} is not valid Unicode text", field=field) from error


def params_bytes(parameters: Mapping[str, Any]) -> bytes:
    return encode_json(plain_numbers(dict(sorted(parameters.items()))))


def messages_bytes(messages: Sequence[Message]) -> bytes:
    return encode_json([{"role": item.role, "content": item.content} for item in messages])


def media_type(header: GGUFHeader) -> str:
    """What a GGUF file is good for, by what it says of itself."""
    kind = header.text("general.type")
    if kind == "adapter" or "adapter.type" in header.metadata:
        return media.ADAPTER
    encoders = ("clip.has_vision_encoder", "clip.has_audio_encoder", "clip.has_llava_projector")
    is_clip = header.architecture == "clip" and any(header.metadata.get(key) for key in encoders)
    if kind in ("projector", "mmproj") or (is_clip and "clip.block_count" not in header.metadata):
        return media.PROJECTOR
    return media.MODEL


def describe(config: ModelConfig, headers: Sequence[tuple[str, GGUFHeader]]) -> dict[str, Any]:
    """The config fields that follow from the files, each with its media type.

    What ``config`` says already stays; all architectures join its list of families.
    """
    weights = [header for kind, header in headers if kind != media.ADAPTER]
    files = weights or [header for _, header in headers]
    if not files:
        return {}
    first = files[0]
    families = (config.model_family, *(header.architecture for header in files))
    return {
        "model_format": config.model_format or "gguf",
        "model_family": config.model_family or first.architecture,
        "model_families": tuple(dict.fromkeys(filter(None, families))),
        "model_type": config.model_type or human_count(first.parameter_count),
        "file_type": config.file_type or first.file_type,
    }
