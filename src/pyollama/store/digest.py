"""Digests: ``sha256:`` and 64 hexadecimal digits."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pyollama.errors import InvalidRequest

_DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def file_name(digest: str) -> str:
    """The name of the file that holds ``digest``, whose own spelling is kept."""
    if not is_digest(digest):
        raise InvalidRequest("invalid digest format", field="digest")
    return digest.replace(":", "-")


def from_file_name(name: str) -> str | None:
    """The digest that a file of this name holds, or ``None`` if it is not a finished blob."""
    return name.replace("-", ":", 1) if is_digest(name) else None
