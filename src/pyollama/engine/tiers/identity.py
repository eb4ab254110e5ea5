"""What has to be the same for a state to be usable: the files of the model and the cache's layout.

A state that was computed by another model, with another adapter or for a cache of another form
would be taken in without complaint and answer nonsense, so whatever has a say goes into one digest.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pyollama.engine.tiers.pieces import root

_SPLIT = re.compile(r"(?P<stem>.*-)\d{5}(?P<of>-of-(?P<count>\d{5})\.gguf)", re.DOTALL)
_BLOB = re.compile(r"sha256-[0-9a-f]{64}")
_SAMPLES = 64
_SAMPLE_BYTES = 4096


def layout(paths: list[str], facts: dict[str, str | int | bool]) -> bytes:
    """A key for the files of model and adapters and everything else that is to be the same.

    Raises ``OSError`` if a file cannot be read.
    """
    files = (file_identity(part) for path in paths for part in _parts(Path(path)))
    return root(*files, *(f"{name}={value}".encode() for name, value in sorted(facts.items())))


def file_identity(path: Path) -> bytes:
    """A digest that tells weights apart without reading all of them.

    The name of a blob is the digest of its content. Of other files size, time and samples from
    beginning to end have to do.
    """
    if _BLOB.fullmatch(path.name):
        return path.name.encode()
    digest = hashlib.blake2b(digest_size=32)
    with path.open("rb") as file:
        facts = os.fstat(file.fileno())
        digest.update(f"{facts.st_size} {facts.st_mtime_ns}".encode())
        last = max(facts.st_size - _SAMPLE_BYTES, 0)
        for number in range(_SAMPLES):
            file.seek(last * number // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.digest()


def _parts(path: Path) -> Iterator[Path]:
    """All files of a model that was split into several."""
    name = _SPLIT.fullmatch(path.name)
    if name is None:
        yield path
        return
    for number in range(1, int(name["count"]) + 1):
        yield path.with_name(f"{name['stem']}{number:05}{name['of']}")
