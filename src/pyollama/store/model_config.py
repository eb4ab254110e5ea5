"""The config blob of a model: facts about it that need no look into the weights."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from pyollama.errors import InvalidManifest
from pyollama.store.jsontext import check_depth, encode_json

MAX_BYTES = 16 << 20

_Length = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``model_type`` is the size as text (``8.0B``), ``file_type`` the quantisation (``Q4_K_M``).

    A stub of a model on another server has ``remote_host`` and ``remote_model``. ``sources`` are
    the digests of the files that the weights were put together from, where those are not kept.
    """

    model_format: str = ""
    model_family: str = ""
    model_families: tuple[str, ...] = ()
    model_type: str = ""
    file_type: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_host: str = ""
    remote_model: str = ""
    capabilities: tuple[str, ...] = ()
    context_length: _Length = 0
    embedding_length: _Length = 0
    base_name: str = ""
    draft: dict[str, Any] = {}
    sources: tuple[str, ...] = ()


_ALWAYS = ("model_format", "model_family", "model_families", "model_type", "file_type")


def parse_config(data: bytes) -> ModelConfig:
    """The config in ``data``; unknown keys and nulls are passed over."""
    try:
        raw = msgspec.json.decode(data, type=dict[str, Any])
        check_depth(raw)
        return msgspec.convert({k: v for k, v in raw.items() if v is not None}, ModelConfig)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidManifest(f"model config is not valid: {error}") from error


def format_config(config: ModelConfig) -> bytes:
    """``config`` as Ollama writes it: keys in its order, optional ones only when set."""
    fields = msgspec.structs.asdict(config)
    document = {key: value for key, value in fields.items() if value or key in _ALWAYS}
    document["model_families"] = config.model_families or None
    return encode_json(document | {"architecture": "amd64", "os": "linux"})
