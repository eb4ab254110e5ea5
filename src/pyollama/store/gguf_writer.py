"""Writing GGUF files, version 3 and little-endian: metadata, table of tensors, then their content.

Nothing is held in memory but the header. What another file says is taken over byte for byte with
:func:`copied_fields`, and tensors come as streams of bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from pyollama.errors import InvalidGGUF
from pyollama.store.files import disk_errors
from pyollama.store.gguf import GGUFHeader, Scalar, TensorInfo
from pyollama.store.gguf_types import ARRAY, SCALARS, STRING, TENSOR_TYPES

ALIGNMENT = 32

_CHUNK = 4 << 20
_NUMBERS = {name: number for number, (name, _) in SCALARS.items()} | {"string": STRING}


@dataclass(frozen=True, slots=True)
class NewTensor:
    """``shape`` has the innermost dimension first, ``kind`` is the number of the type.

    ``content`` is asked once, for exactly the bytes that shape and type need.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    content: Callable[[], Iterable[bytes]]

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return TensorInfo(self.name, self.shape, TENSOR_TYPES[self.kind], self.kind, 0).size


def scalar(kind: str, value: Scalar) -> bytes:
    """A value as it stands behind its key; ``kind`` as in ``uint32``, ``float32``, ``string``."""
    number = _NUMBERS[kind]
    return _pack("I", number) + _element(number, value)


def array(kind: str, values: Sequence[Scalar]) -> bytes:
    """The same for an array with elements of one kind."""
    number = _NUMBERS[kind]
    head = _pack("IIQ", ARRAY, number, len(values))
    return head + b"".join(_element(number, value) for value in values)


def copied_fields(header: GGUFHeader) -> dict[str, bytes]:
    """All metadata of a file, as :func:`write_gguf` wants it."""
    if header.version < 2 or header.order != "<":
        raise InvalidGGUF(
            f"{header.path} is a GGUF of version 1 or big-endian, which cannot be taken over",
            hint="make the file anew with a current converter",
        )
    with disk_errors("read", header.path), header.path.open("rb") as file:
        fields = {}
        for key, (begin, end) in header.places.items():
            file.seek(begin)
            fields[key] = file.read(end - begin)
    return fields


def copied_tensor(header: GGUFHeader, tensor: TensorInfo) -> NewTensor:
    """A tensor of another file of the same order of bytes, with its content."""

    def content() -> Iterator[bytes]:
        with disk_errors("read", header.path), header.path.open("rb") as file:
            file.seek(tensor.offset)
            left = tensor.size
            while left and (chunk := file.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk

    return NewTensor(tensor.name, tensor.shape, tensor.kind, content)


def write_gguf(
    file: IO[bytes],
    fields: Mapping[str, bytes],
    tensors: Sequence[NewTensor],
    *,
    alignment: int = ALIGNMENT,
) -> Iterator[int]:
    """Write a whole file; yields the number of bytes written so far after each piece.

    ``fields`` are values of :func:`scalar` and :func:`array`. An alignment other than the usual one
    is for the caller to put among them (``general.alignment``). Content that is not as long as it
    has to be is an :class:`InvalidGGUF`.
    """
    head = [b"GGUF", _pack("IQQ", 3, len(tensors), len(fields))]
    head += [_text(key) + value for key, value in fields.items()]
    offset = 0
    for tensor in tensors:
        head += [_text(tensor.name), _pack("I", len(tensor.shape))]
        head += [_pack(f"{len(tensor.shape)}Q", *tensor.shape), _pack("IQ", tensor.kind, offset)]
        offset += _padded(tensor.size, alignment)
    whole = b"".join(head)
    written = file.write(whole.ljust(_padded(len(whole), alignment), b"\0"))
    yield written
    for tensor in tensors:
        begin = written
        for piece in tensor.content():
            written += file.write(piece)
            yield written
        if written - begin != tensor.size:
            raise InvalidGGUF(
                f'tensor "{tensor.name}" has {written - begin} bytes of {tensor.size}'
            )
        written += file.write(bytes(_padded(tensor.size, alignment) - tensor.size))


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _element(number: int, value: Scalar) -> bytes:
    return _text(str(value)) if number == STRING else _pack(SCALARS[number][1], value)


def _text(text: str) -> bytes:
    raw = text.encode()
    return _pack("Q", len(raw)) + raw


def _pack(layout: str, *values: Scalar) -> bytes:
    return struct.pack("<" + layout, *values)
