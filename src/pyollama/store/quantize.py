"""Quantising the weights of a model that is being made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from pyollama.errors import StoreError
from pyollama.store.gguf import GGUFHeader
from pyollama.store.gguf_types import FILE_TYPES
from pyollama.store.measured import measured
from pyollama.types import Progress

Quantizer = Callable[[Path, Path, str], Generator[int, None, None]]
"""Writes a copy of one file to another, quantised to the type of that name; yields bytes written.
Closing it ends the work."""

_ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
FULL_TYPES = ("F32", "F16", "BF16")
_CONVERTED_ONLY = "NVFP4"
"""llama.cpp reads this type, but makes it only of files that have it already."""


def target_type(text: str) -> str:
    """The file type that ``text`` means, in any case."""
    name = text.upper()
    name = _ALIASES.get(name, name)
    known = [name for name in FILE_TYPES.values() if name != _CONVERTED_ONLY]
    if name not in known:
        raise StoreError(
            f"unsupported quantization type {name} - supported types are "
            "F32, F16, Q4_K_S, Q4_K_M, Q8_0",
            hint=f"all types: {', '.join(known)}",
        )
    return name


def source_type(header: GGUFHeader) -> str:
    """The file type of weights that may be quantised, with F32 by its name."""
    stated = header.metadata.get("general.file_type")
    if isinstance(stated, int):
        name = FILE_TYPES.get(stated, "")
    else:  # then it is what the larger part is
        sizes = Counter[str]()
        for tensor in header.tensors:
            sizes[tensor.type.name] += tensor.elements
        name = sizes.most_common(1)[0][0] if sizes else ""
    return name if name in FULL_TYPES else ""


def quantized(
    source: Path, target: Path, types: tuple[str, str], quantizer: Quantizer
) -> Iterator[Progress]:
    """Write ``source`` to ``target`` from the first to the second of ``types``."""
    status = f"quantizing {types[0]} model to {types[1]}"
    work = quantizer(source, target, types[1])
    yield from measured(status, source.stat().st_size, work)
