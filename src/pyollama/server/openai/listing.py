"""Models as OpenAI lists them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pyollama.server.streaming import encode_json
from pyollama.service.models import ListedModel
from pyollama.types import JSON


def models(listed: Iterable[ListedModel]) -> bytes:
    found = (entry.model for entry in listed)
    data = [_entry(it.name.short, it.modified_at, it.name.namespace) for it in found]
    return encode_json({"object": "list", "data": data})


def model(asked: str, modified_at: datetime, namespace: str) -> bytes:
    """One model under the name it was asked for."""
    return encode_json(_entry(asked, modified_at, namespace))


def _entry(name: str, modified_at: datetime, namespace: str) -> JSON:
    return {
        "id": name,
        "object": "model",
        "created": int(modified_at.timestamp()),
        "owned_by": namespace,
    }
