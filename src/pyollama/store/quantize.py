"""Quantising the weights of a model that is being made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pyollama.errors import StoreError
from pyollama.store.gguf import GGUFHeader
from pyollama.store.gguf_types import FILE_TYPES
from pyollama.types import Progress

Quantizer = Callable[[Path, Path, str], None]
"""Writes a copy of one file to another, quantised to the type of that name."""

_ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
FULL_TYPES = ("F32", "F16", "BF16")
_NO_DIGEST = "0000000000000000000"
_POLL = 0.2


def target_type(text: str) -> str:
    """The file type that ``text`` means, in any case."""
    name = text.upper()
    name = _ALIASES.get(name, name)
    if name not in FILE_TYPES.values():
        raise StoreError(
            f"unsupported quantization type {name} - supported types are "
            "F32, F16, Q4_K_S, Q4_K_M, Q8_0",
            hint=f"all types: {', '.join(FILE_TYPES.values())}",
        )
    return name


def source_type(header: GGUFHeader) -> str:
    """The file type of weights that may be quantised, with F32 by its name."""
    stated = header.metadata.get("general.file_type")
    name = FILE_TYPES.get(stated, "") if isinstance(stated, int) else ""
    return name if name in FULL_TYPES else ""


def quantized(
    source: Path, target: Path, types: tuple[str, str], quantizer: Quantizer
) -> Iterator[Progress]:
    """Write ``source`` to ``target`` from the first to the second of ``types``.

    The work cannot be interrupted: closing this iterator waits for it to end.
    """
    status = f"quantizing {types[0]} model to {types[1]}"
    total = source.stat().st_size
    failures: list[BaseException] = []

    def work() -> None:
        try:
            quantizer(source, target, types[1])
        except BaseException as error:  # handed to the thread that waits
            failures.append(error)

    thread = threading.Thread(target=work, name="quantize", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            done = min(target.stat().st_size, total)
            yield Progress(status, digest=_NO_DIGEST, total=total, completed=done)
            thread.join(_POLL)
    finally:
        thread.join()
    if failures:
        raise failures[0]
    yield Progress(status, digest=_NO_DIGEST, total=total, completed=total)
