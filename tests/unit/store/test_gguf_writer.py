from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyollama.errors import InvalidGGUF
from pyollama.store.gguf import GGUFArray, GGUFHeader, read_gguf
from pyollama.store.gguf_writer import (
    NewTensor,
    array,
    copied_fields,
    copied_tensor,
    scalar,
    write_gguf,
)

Write = Callable[..., bytes]
STRING, ARRAY, U16, F32 = 8, 9, 2, 6
TENSORS = [("a.weight", (32, 2), 8, bytes(range(68))), ("b", (3,), 0, b"xxxxyyyyzzzz")]
FIELDS = {
    "general.architecture": scalar("string", "llama"),
    "llama.block_count": scalar("uint32", 7),
    "llama.epsilon": scalar("float32", 1e-6),
    "llama.flag": scalar("bool", True),
    "tokens": array("string", ["a", "", "é"]),
    "types": array("int32", [-1, 2]),
}


def write(path: Path, *args: Any, **kwargs: Any) -> GGUFHeader:
    with path.open("wb") as file:
        assert [*write_gguf(file, *args, **kwargs)][-1] <= file.tell()
    return read_gguf(path)


def content(header: GGUFHeader) -> dict[str, bytes]:
    raw = header.path.read_bytes()
    return {t.name: raw[t.offset : t.offset + t.size] for t in header.tensors}


def tensor(name: str, shape: tuple[int, ...], kind: int, *pieces: bytes) -> NewTensor:
    return NewTensor(name, shape, kind, lambda: pieces)


@pytest.mark.parametrize("alignment", [32, 4096])
def test_what_is_written_reads_back(tmp_path: Path, alignment: int) -> None:
    fields = {**FIELDS, "general.alignment": scalar("uint32", alignment)}
    tensors = [
        tensor("a", (32, 2), 8, bytes(range(60)), bytes(8)),
        tensor("b", (3,), 0, b"xxxxyyyyzzzz"),
    ]
    header = write(tmp_path / "x", fields, tensors, alignment=alignment)
    assert header.number("block_count") == 7
    assert header.metadata["llama.epsilon"] == 1e-6
    assert header.metadata["llama.flag"] is True
    tokens, types = header.metadata["tokens"], header.metadata["types"]
    assert isinstance(tokens, GGUFArray) and tokens.values() == ["a", "", "é"]
    assert isinstance(types, GGUFArray) and types.values() == [-1, 2]
    assert content(header) == {"a": bytes(range(60)) + bytes(8), "b": b"xxxxyyyyzzzz"}
    assert [t.offset % alignment for t in header.tensors] == [0, 0]


def test_files_are_taken_over_byte_for_byte(tmp_path: Path, gguf_bytes: Write) -> None:
    metadata = {"k": (STRING, b"\xff"), "u": (4, 5), "t": (ARRAY, (STRING, ["a", "b"]))}
    (tmp_path / "old").write_bytes(gguf_bytes(metadata, TENSORS))
    old = read_gguf(tmp_path / "old")
    new = write(
        tmp_path / "new", copied_fields(old), [copied_tensor(old, one) for one in old.tensors]
    )
    assert (tmp_path / "new").read_bytes() == (tmp_path / "old").read_bytes()
    assert content(new) == {"a.weight": bytes(range(68)), "b": b"xxxxyyyyzzzz"}


@pytest.mark.parametrize(("version", "order"), [(1, "<"), (3, ">")])
def test_other_layouts_are_not_taken_over(
    tmp_path: Path, gguf_bytes: Write, version: int, order: str
) -> None:
    (tmp_path / "old").write_bytes(gguf_bytes({"k": (4, 1)}, version=version, order=order))
    with pytest.raises(InvalidGGUF, match="cannot be taken over"):
        copied_fields(read_gguf(tmp_path / "old"))


@pytest.mark.parametrize("pieces", [(bytes(11),), (bytes(12), b"x"), ()])
def test_content_has_to_be_as_long_as_it_says(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidGGUF, match='"w" has'):
        list(write_gguf(io.BytesIO(), {}, [tensor("w", (3,), 0, *pieces)]))


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(struct.error):
        scalar("uint8", 256)
