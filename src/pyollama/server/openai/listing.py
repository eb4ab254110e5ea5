"""Models and embeddings as OpenAI lists them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pyollama.server.streaming import encode_json
from pyollama.service.embed import Embeddings
from pyollama.service.models import ListedModel
from pyollama.types import JSON


def models(listed: Iterable[ListedModel]) -> bytes:
    found = (entry.model for entry in listed)
    data = [_entry(it.name.short, it.modified_at, it.name.namespace) for it in found]
    return encode_json({"object": "list", "data": data})


def model(asked: str, modified_at: datetime, namespace: str) -> bytes:
    """One model under the name it was asked for."""
    return encode_json(_entry(asked, modified_at, namespace))


def embeddings(model: str, result: Embeddings, *, as_base64: bool) -> bytes:
    """Vectors as lists of numbers, or as base64 of little-endian float32."""
    data = [
        {
            "object": "embedding",
            "embedding": _base64(vector) if as_base64 else vector.tolist(),
            "index": index,
        }
        for index, vector in enumerate(result.vectors)
    ]
    tokens = result.prompt_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return encode_json({"object": "list", "data": data, "model": model, "usage": usage})


def _base64(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _entry(name: str, modified_at: datetime, namespace: str) -> JSON:
    return {
        "id": name,
        "object": "model",
        "created": int(modified_at.timestamp()),
        "owned_by": namespace,
    }
