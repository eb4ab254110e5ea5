"""A KV state as bytes that can be kept: checked for damage and for belonging to the model.

Layout, little-endian: magic (8 bytes), BLAKE2b-256 of all that follows, fingerprint of the model
(32 bytes), number of tokens (uint32), the tokens (int32 each), llama.cpp's state of the sequence.
The checksum finds damage, not malice: a state is as trustworthy as the place it was kept in.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence

from pyollama.errors import InvalidRequest

MAGIC = b"PYOLKV01"
_DIGEST = 32
_HEAD = len(MAGIC) + _DIGEST


def fingerprint(*facts: str | Mapping[str, str]) -> bytes:
    """A digest of what has to be the same for a state to be usable."""
    digest = hashlib.blake2b(digest_size=_DIGEST)
    for fact in facts:
        items = sorted(fact.items()) if isinstance(fact, Mapping) else [("", fact)]
        for text in (text for item in items for text in item):
            raw = text.encode()
            digest.update(struct.pack("<Q", len(raw)) + raw)
    return digest.digest()


def pack(model: bytes, tokens: Sequence[int], state: bytes) -> bytes:
    """``model`` is a :func:`fingerprint`."""
    body = model + struct.pack(f"<I{len(tokens)}i", len(tokens), *tokens) + state
    return MAGIC + _checksum(body) + body


def unpack(model: bytes, data: bytes) -> tuple[list[int], bytes]:
    """Tokens and state; raises ``InvalidRequest`` if they are damaged or of another model."""
    if not data.startswith(MAGIC):
        raise _bad("this is not a saved state")
    body = data[_HEAD:]
    if data[len(MAGIC) : _HEAD] != _checksum(body) or len(body) < _DIGEST + 4:
        raise _bad("the saved state is damaged")
    if body[:_DIGEST] != model:
        raise _bad("the state was saved by another model or with other cache types")
    (count,) = struct.unpack_from("<I", body, _DIGEST)
    start = _DIGEST + 4
    end = start + 4 * count
    if end > len(body):
        raise _bad("the saved state is damaged")
    return list(struct.unpack_from(f"<{count}i", body, start)), body[end:]


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST).digest()


def _bad(message: str) -> InvalidRequest:
    return InvalidRequest(message, field="state")
