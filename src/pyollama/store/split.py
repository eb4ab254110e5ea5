"""A model that comes as several GGUF files, made one again.

llama.cpp splits a file by tensors: each part has the keys ``split.no``, ``split.count`` and
``split.tensors.count``, and the first one has all the rest of the metadata. Which part a file is,
it says itself; its name is only for people.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path

from pyollama.errors import InvalidRequest
from pyollama.store.files import disk_errors
from pyollama.store.gguf import GGUFHeader
from pyollama.store.gguf_writer import ALIGNMENT, copied_fields, copied_tensor, write_gguf

_KEYS = {"split.no", "split.count", "split.tensors.count"}


def is_part(header: GGUFHeader) -> bool:
    return _number(header, "split.count") > 1


def in_order(parts: Mapping[str, GGUFHeader]) -> list[GGUFHeader]:
    """The parts from first to last, given with the names of their files; none may be missing."""
    counts = {_number(header, "split.count") for header in parts.values()}
    if len(counts) != 1:
        raise InvalidRequest("split GGUF: the files are parts of different models", field="files")
    count = counts.pop()
    found: dict[int, GGUFHeader] = {}
    for name, header in parts.items():
        number = _number(header, "split.no")
        if number in found or number >= count:
            raise InvalidRequest(
                f'split GGUF "{name}": it says it is part {number + 1} of {count},'
                f" {'and so does another file' if number in found else 'which cannot be'}",
                field="files",
            )
        found[number] = header
    if missing := sorted(set(range(min(count, len(found) + 1))) - found.keys()):
        raise InvalidRequest(
            f"split GGUF: part {missing[0] + 1} of {count} is missing",
            hint="give all parts of the model",
            field="files",
        )
    ordered = [found[number] for number in range(count)]
    _check_tensors(ordered)
    return ordered


def merged(parts: list[GGUFHeader], target: Path) -> Generator[int, None, None]:
    """Write the parts of :func:`in_order` to ``target`` as one file; yields the bytes written."""
    first = parts[0]
    fields = {key: raw for key, raw in copied_fields(first).items() if key not in _KEYS}
    for part in parts[1:]:
        if part.order != first.order:
            raise InvalidRequest("split GGUF: the parts differ in byte order", field="files")
    tensors = [copied_tensor(part, tensor) for part in parts for tensor in part.tensors]
    alignment = _number(first, "general.alignment") or ALIGNMENT
    with disk_errors("write", target), target.open("wb") as file:
        yield from write_gguf(file, fields, tensors, alignment=alignment)


def _check_tensors(parts: list[GGUFHeader]) -> None:
    names = [tensor.name for part in parts for tensor in part.tensors]
    stated = _number(parts[0], "split.tensors.count")
    if stated and stated != len(names):
        raise InvalidRequest(
            f"split GGUF: the parts hold {len(names)} tensors of {stated}", field="files"
        )
    if len(set(names)) != len(names):
        raise InvalidRequest("split GGUF: two parts hold the same tensor", field="files")


def _number(header: GGUFHeader, key: str) -> int:
    value = header.metadata.get(key)
    return value if isinstance(value, int) and value > 0 else 0
