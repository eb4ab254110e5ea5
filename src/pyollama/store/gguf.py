"""Headers of GGUF files: metadata and the table of tensors.

Every file is taken for hostile. Counts, lengths, types and offsets are checked before they are
used, nothing is allocated on the word of the file alone, and :class:`InvalidGGUF` is the only
error that content can cause. Arrays are skipped and read when asked for. The format, in versions
1 to 3 and both byte orders, is described at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pyollama.errors import InvalidGGUF
from pyollama.store.files import disk_errors, open_file
from pyollama.store.gguf_source import Source
from pyollama.store.gguf_types import (
    ARRAY,
    FILE_TYPES,
    FLOAT32,
    SCALARS,
    STRING,
    TENSOR_TYPES,
    TensorType,
)

Scalar = int | float | bool | str

MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 18
MAX_ELEMENTS = 1 << 22
"""Of all arrays together; the largest vocabularies of today have a third of that."""
MAX_KEY = 1 << 16
MAX_TENSOR_NAME = 1 << 10
MAX_TEXT = 1 << 23
MAX_TEXTS = 1 << 24
"""Bytes of all texts that are not in arrays."""
MAX_METADATA = 1 << 28
MAX_DIMENSIONS = 4
MAX_ALIGNMENT = 1 << 30

_MAGIC, _SWAPPED_MAGIC = b"GGUF", b"FUGG"
_VERSIONS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class GGUFArray:
    """An array in the metadata. Only its place in the file is known until it is read."""

    element_type: str
    length: int
    _read: Callable[[], list[Scalar]] = field(repr=False, compare=False)

    def values(self) -> list[Scalar]:
        """All elements, read anew from the file each time."""
        return self._read()


Value = Scalar | GGUFArray


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """``shape`` is in the order of the file, innermost first; ``offset`` counts from its start.

    ``kind`` is the number of the type, of which some types have two.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    kind: int
    offset: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.elements // self.type.block_size * self.type.block_bytes


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """``places`` says where in the file the type and value of a key begin and end.

    ``order`` is that of the bytes: ``<`` or ``>``.
    """

    path: Path
    version: int
    order: str
    metadata: dict[str, Value]
    places: dict[str, tuple[int, int]]
    tensors: tuple[TensorInfo, ...]

    @property
    def architecture(self) -> str:
        value = self.metadata.get("general.architecture")
        return value if isinstance(value, str) else ""

    @property
    def parameter_count(self) -> int:
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def file_type(self) -> str:
        """The quantisation by name. F32 is ``unknown``, like a file that does not say."""
        number = self.number("general.file_type")
        return FILE_TYPES.get(number, "unknown") if number else "unknown"

    @property
    def chat_template(self) -> str:
        """The Jinja template of the file, or an empty text."""
        return self.text("tokenizer.chat_template")

    def get(self, key: str) -> Value | None:
        """A metadata value; keys that are not general ones are those of the architecture."""
        if not key.startswith(("general.", "tokenizer.")):
            key = f"{self.architecture}.{key}"
        return self.metadata.get(key)

    def text(self, key: str) -> str:
        """A text value; empty if there is none. Keys as in :meth:`get`."""
        value = self.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        """A whole number that cannot be negative; 0 if there is none. Keys as in :meth:`get`."""
        value = self.get(key)
        return value if isinstance(value, int) and value > 0 else 0


def is_gguf(path: Path) -> bool:
    """Whether the file begins like a GGUF."""
    with disk_errors("read", path), open_file(path) as file:
        return file.read(4) in (_MAGIC, _SWAPPED_MAGIC)


def read_gguf(path: Path) -> GGUFHeader:
    """The header of the file at ``path``. Tensors must lie inside the file."""
    with disk_errors("read", path), open_file(path) as file:
        status = os.fstat(file.fileno())
        source = Source(file, status.st_size)
        return _HeaderReader(path, source, status.st_mtime_ns).read()


class _HeaderReader:
    def __init__(self, path: Path, source: Source, mtime_ns: int) -> None:
        self._path = path
        self._source = source
        self._mtime_ns = mtime_ns
        self._wide = True
        self._elements = MAX_ELEMENTS
        self._texts = MAX_TEXTS
        self._places: dict[str, tuple[int, int]] = {}

    def read(self) -> GGUFHeader:
        source = self._source
        if source.take(4) not in (_MAGIC, _SWAPPED_MAGIC):
            raise InvalidGGUF("not a GGUF file: it does not begin with GGUF")
        version = source.integer("I")
        if version & 0xFFFF == 0:
            source.order = ">"
            version = int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in _VERSIONS:
            raise InvalidGGUF(f"GGUF version {version} is not supported; known are 1, 2 and 3")
        self._wide = version > 1
        n_tensors = self._count(MAX_TENSORS, "tensors")
        n_keys = self._count(MAX_KEYS, "metadata keys")
        metadata = self._metadata(n_keys)
        tensors = self._tensors(n_tensors, _alignment(metadata))
        return GGUFHeader(self._path, version, source.order, metadata, self._places, tensors)

    def _count(self, limit: int, what: str) -> int:
        count = self._source.integer("Q" if self._wide else "I")
        if count > limit:
            raise InvalidGGUF(f"GGUF claims {count} {what}; the limit is {limit}")
        return count

    def _text(self, limit: int, what: str) -> bytes:
        return self._source.take(self._count(limit, f"bytes for a {what}"))

    def _name(self, limit: int, what: str) -> str:
        raw = self._text(limit, what)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise InvalidGGUF(f"GGUF has a {what} that is not UTF-8: {raw[:60]!r}") from error

    def _metadata(self, count: int) -> dict[str, Value]:
        metadata: dict[str, Value] = {}
        for _ in range(count):
            key = self._name(MAX_KEY, "metadata key")
            if not key:
                raise InvalidGGUF("GGUF has a metadata key without a name")
            if key in metadata:
                raise InvalidGGUF(f"GGUF has the metadata key {key!r} twice")
            begin = self._source.position
            metadata[key] = self._value(key)
            self._places[key] = begin, self._source.position
            if self._source.position > MAX_METADATA:
                raise InvalidGGUF(f"GGUF metadata is longer than {MAX_METADATA} bytes")
        return metadata

    def _value(self, key: str) -> Value:
        kind = self._source.integer("I")
        if kind == STRING:
            raw = self._text(min(MAX_TEXT, self._texts), "text value")
            self._texts -= len(raw)
            return _decode(raw)
        if kind == ARRAY:
            return self._array(key)
        if kind not in SCALARS:
            raise InvalidGGUF(f"GGUF metadata {key!r} has the unknown type {kind}")
        if kind == FLOAT32:
            return shortest(self._source.real("f"))
        return self._source.integer(SCALARS[kind][1])

    def _array(self, key: str) -> GGUFArray:
        source = self._source
        kind = source.integer("I")
        length = self._count(self._elements, f"elements in {key!r}")
        self._elements -= length
        start = source.position
        if kind == STRING:
            source.skip_texts(length, "Q" if self._wide else "I", MAX_TEXT)
        elif kind in SCALARS:
            source.skip(length * struct.calcsize("=" + SCALARS[kind][1]))
        else:
            raise InvalidGGUF(f"GGUF metadata {key!r} is an array of the unsupported type {kind}")
        name = "string" if kind == STRING else SCALARS[kind][0]
        return GGUFArray(name, length, self._later(kind, length, start, source.position))

    def _later(self, kind: int, length: int, start: int, end: int) -> Callable[[], list[Scalar]]:
        path, order, mtime_ns = self._path, self._source.order, self._mtime_ns
        width = "Q" if self._wide else "I"

        def read() -> list[Scalar]:
            with disk_errors("read", path), open_file(path) as file:
                if os.fstat(file.fileno()).st_mtime_ns != mtime_ns:
                    raise InvalidGGUF(f"{path} was changed while it was in use")
                file.seek(start)
                data = file.read(end - start)
            if kind == STRING:
                return _texts(data, length, order + width)
            return _numbers(data, kind, order)

        return read

    def _tensors(self, count: int, alignment: int) -> tuple[TensorInfo, ...]:
        found = [self._tensor() for _ in range(count)]
        if len({tensor.name for tensor in found}) != count:
            raise InvalidGGUF("GGUF has two tensors of the same name")
        base = -(-self._source.position // alignment) * alignment
        tensors = []
        for tensor in found:
            if tensor.offset % alignment:
                raise InvalidGGUF(f'tensor "{tensor.name}" is not aligned to {alignment} bytes')
            placed = replace(tensor, offset=base + tensor.offset)
            if placed.offset + placed.size > self._source.size:
                raise InvalidGGUF(
                    f'tensor "{tensor.name}" offset+size ({placed.offset + placed.size})'
                    f" exceeds file size ({self._source.size})"
                )
            tensors.append(placed)
        _check_overlaps(tensors)
        return tuple(tensors)

    def _tensor(self) -> TensorInfo:
        source = self._source
        name = self._name(MAX_TENSOR_NAME, "tensor name")
        n_dimensions = source.integer("I")
        if not 1 <= n_dimensions <= MAX_DIMENSIONS:
            raise InvalidGGUF(f'tensor "{name}" has {n_dimensions} dimensions')
        shape = source.numbers(n_dimensions * ("Q" if self._wide else "I"))
        kind, offset = source.numbers("IQ")
        if kind not in TENSOR_TYPES:
            raise InvalidGGUF(f'tensor "{name}" has the unknown type {kind}')
        tensor_type = TENSOR_TYPES[kind]
        if 0 in shape or math.prod(shape) >= 1 << 63 or shape[0] % tensor_type.block_size:
            raise InvalidGGUF(f'tensor "{name}" has the impossible shape {list(shape)}')
        return TensorInfo(name, shape, tensor_type, kind, offset)


def _check_overlaps(tensors: list[TensorInfo]) -> None:
    for first, second in pairwise(sorted(tensors, key=lambda tensor: tensor.offset)):
        if first.offset + first.size > second.offset:
            raise InvalidGGUF(f'tensors "{first.name}" and "{second.name}" overlap')


def _alignment(metadata: dict[str, Value]) -> int:
    value = metadata.get("general.alignment", 32)
    if type(value) is not int or not 0 < value <= MAX_ALIGNMENT or value & (value - 1):
        raise InvalidGGUF(f"GGUF has the alignment {value!r}, which is not a power of two")
    return value


def _decode(raw: bytes) -> str:
    return raw.decode(errors="replace")


def shortest(value: float) -> float:
    """The number with the fewest digits that is the same 32-bit float (``1e-06``)."""
    return float(str(np.float32(value)))


def _texts(data: bytes, count: int, length_format: str) -> list[Scalar]:
    length = struct.Struct(length_format)
    texts: list[Scalar] = []
    position = 0
    for _ in range(count):
        (size,) = length.unpack_from(data, position)
        position += length.size
        texts.append(_decode(data[position : position + size]))
        position += size
    return texts


def _numbers(data: bytes, kind: int, order: str) -> list[Scalar]:
    values: np.ndarray[Any, np.dtype[Any]] = np.frombuffer(data, order + SCALARS[kind][1])
    if kind == FLOAT32:
        return [float(str(value)) for value in values]
    return list(values.tolist())
