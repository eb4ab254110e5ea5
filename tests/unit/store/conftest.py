"""GGUF files made on the spot, and a store to put them into."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pyollama.store.store import Store

Tensor = tuple[str, Sequence[int], int, bytes]
"""Name, shape, number of the type, content."""

_SCALARS = {2: "H", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 12: "d"}
STRING, ARRAY = 8, 9


def gguf_bytes(
    metadata: Mapping[str, tuple[int, Any]],
    tensors: Sequence[Tensor] = (),
    *,
    version: int = 3,
    order: str = "<",
    alignment: int = 32,
) -> bytes:
    """A GGUF file. Metadata values are (type, value), arrays (9, (element type, elements))."""
    wide = "Q" if version > 1 else "I"

    def pack(layout: str, *values: Any) -> bytes:
        return struct.pack(order + layout, *values)

    def text(value: str | bytes) -> bytes:
        raw = value.encode() if isinstance(value, str) else value
        return pack(wide, len(raw)) + raw

    def value(kind: int, item: Any) -> bytes:
        if kind == STRING:
            return text(item)
        if kind == ARRAY:
            element, items = item
            return pack("I" + wide, element, len(items)) + b"".join(
                value(element, i) for i in items
            )
        return pack(_SCALARS[kind], item)

    head = [b"GGUF", pack("I", version), pack(2 * wide, len(tensors), len(metadata))]
    head += [text(key) + pack("I", kind) + value(kind, v) for key, (kind, v) in metadata.items()]
    offset, data = 0, b""
    for name, shape, kind, content in tensors:
        head += [text(name), pack("I" + wide * len(shape), len(shape), *shape)]
        head += [pack("IQ", kind, offset)]
        data += content + bytes(-len(content) % alignment)
        offset = len(data)
    whole = b"".join(head)
    return whole + bytes(-len(whole) % alignment) + data


def model_metadata(architecture: str = "llama", **more: tuple[int, Any]) -> dict[str, Any]:
    return {
        "general.architecture": (STRING, architecture),
        "general.name": (STRING, "tiny"),
        "general.file_type": (4, 1),
        f"{architecture}.context_length": (4, 512),
        f"{architecture}.embedding_length": (4, 8),
        f"{architecture}.norm_epsilon": (6, 1e-6),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, ["a", "b", "c"])),
        **more,
    }


WEIGHTS: Sequence[Tensor] = (("w", (8, 4), 1, bytes(64)), ("norm", (8,), 0, bytes(32)))


@pytest.fixture(scope="session", name="gguf_bytes")
def _gguf_bytes() -> Callable[..., bytes]:
    return gguf_bytes


@pytest.fixture(scope="session")
def model_gguf() -> Callable[..., bytes]:
    """Bytes of a small model; keywords are metadata with ``__`` for dots."""

    def make(architecture: str = "llama", **more: tuple[int, Any]) -> bytes:
        named = {key.replace("__", "."): value for key, value in more.items()}
        return gguf_bytes(model_metadata(architecture, **named), WEIGHTS)

    return make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")
