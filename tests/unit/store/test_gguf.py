from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyollama.errors import InvalidGGUF
from pyollama.store.gguf import GGUFArray, GGUFHeader, is_gguf, read_gguf

Write = Callable[..., bytes]
U32, F32, BOOL, STRING, ARRAY, U64, F64 = 4, 6, 7, 8, 9, 10, 12

METADATA = {
    "general.architecture": (STRING, "llama"),
    "general.file_type": (U32, 15),
    "llama.context_length": (U32, 4096),
    "llama.epsilon": (F32, 1e-6),
    "llama.exact": (F64, 0.1),
    "llama.big": (U64, (1 << 64) - 1),
    "tokenizer.ggml.add_bos_token": (BOOL, True),
    "tokenizer.ggml.tokens": (ARRAY, (STRING, ["<s>", "", "é", "x" * 300])),
    "tokenizer.ggml.scores": (ARRAY, (F32, [0.1, -2.5])),
    "tokenizer.ggml.token_type": (ARRAY, (5, [1, -3])),
    "general.none": (ARRAY, (STRING, [])),
}
TENSORS = [("token_embd.weight", (32, 2), 8, bytes(68)), ("norm", (3,), 0, bytes(12))]


def read(tmp_path: Path, data: bytes) -> GGUFHeader:
    path = tmp_path / "x.gguf"
    path.write_bytes(data)
    return read_gguf(path)


def elements(header: GGUFHeader, key: str) -> list[Any]:
    array = header.metadata[key]
    assert isinstance(array, GGUFArray)
    assert len(array.values()) == array.length
    return array.values()


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_header_is_read(tmp_path: Path, gguf_bytes: Write, version: int, order: str) -> None:
    header = read(tmp_path, gguf_bytes(METADATA, TENSORS, version=version, order=order))
    assert header.version == version
    assert header.architecture == "llama"
    assert header.file_type == "Q4_K_M"
    assert header.get("context_length") == 4096
    assert header.number("context_length") == 4096
    assert header.metadata["llama.epsilon"] == 1e-6
    assert header.metadata["llama.exact"] == 0.1
    assert header.metadata["llama.big"] == (1 << 64) - 1
    assert header.metadata["tokenizer.ggml.add_bos_token"] is True
    assert elements(header, "tokenizer.ggml.tokens") == ["<s>", "", "é", "x" * 300]
    assert elements(header, "tokenizer.ggml.scores") == [0.1, -2.5]
    assert elements(header, "tokenizer.ggml.token_type") == [1, -3]
    assert elements(header, "general.none") == []
    assert header.parameter_count == 67
    tensor = header.tensors[0]
    assert (tensor.name, tensor.shape, tensor.type.name) == ("token_embd.weight", (32, 2), "Q8_0")
    assert tensor.size == 68
    assert header.tensors[1].offset == tensor.offset + 96
    assert tensor.offset % 32 == 0


def test_values_that_are_not_there_or_of_another_type(tmp_path: Path, gguf_bytes: Write) -> None:
    metadata = {"general.architecture": (U32, 7), "general.file_type": (STRING, "x")}
    header = read(tmp_path, gguf_bytes(metadata))
    assert header.architecture == ""
    assert header.file_type == "unknown"
    assert header.chat_template == ""
    assert header.number("context_length") == 0


def test_alignment_of_the_file_counts(tmp_path: Path, gguf_bytes: Write) -> None:
    data = gguf_bytes({"general.alignment": (U32, 128)}, TENSORS, alignment=128)
    assert [tensor.offset % 128 for tensor in read(tmp_path, data).tensors] == [0, 0]


def test_cut_off_tensor_is_named(tmp_path: Path, gguf_bytes: Write) -> None:
    data = gguf_bytes({}, [("w", (1024,), 0, bytes(4096))])
    with pytest.raises(InvalidGGUF, match=r'tensor "w" offset\+size \(4160\) exceeds file size'):
        read(tmp_path, data[:1000])


@pytest.mark.parametrize(
    ("metadata", "tensors", "message"),
    [
        ({"general.alignment": (U32, 0)}, [], "alignment"),
        ({"general.alignment": (U32, 24)}, [], "alignment"),
        ({"general.alignment": (STRING, "x")}, [], "alignment"),
        ({}, [("w", (), 0, b"")], "0 dimensions"),
        ({}, [("w", (1, 1, 1, 1, 1), 0, bytes(4))], "5 dimensions"),
        ({}, [("w", (0,), 0, b"")], "impossible shape"),
        ({}, [("w", (1 << 32, 1 << 32), 0, b"")], "impossible shape"),
        ({}, [("w", (31,), 8, bytes(34))], "impossible shape"),
        ({}, [("w", (1,), 99, bytes(4))], "unknown type 99"),
        ({}, [("w", (8,), 0, bytes(32)), ("w", (8,), 0, bytes(32))], "same name"),
    ],
)
def test_unsound_files_are_refused(
    tmp_path: Path, gguf_bytes: Write, metadata: Any, tensors: Any, message: str
) -> None:
    with pytest.raises(InvalidGGUF, match=message):
        read(tmp_path, gguf_bytes(metadata, tensors))


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)


def test_claims_are_checked_before_use(tmp_path: Path, gguf_bytes: Write) -> None:
    data = gguf_bytes({"k": (ARRAY, (U32, [7] * 5)), "l": (STRING, "text!")})
    huge = (1 << 62).to_bytes(8, "little")
    five = (5).to_bytes(8, "little")
    for claim in (five + b"\7", five + b"text!"):
        with pytest.raises(InvalidGGUF, match="claims 4611686018427387904"):
            read(tmp_path, replaced(data, claim, huge + claim[8:]))
    for place in (8, 16):
        with pytest.raises(InvalidGGUF, match="claims 4611686018427387904"):
            read(tmp_path, data[:place] + huge + data[place + 8 :])


def test_duplicate_keys_and_nested_arrays_are_refused(tmp_path: Path, gguf_bytes: Write) -> None:
    data = gguf_bytes({"key1": (U32, 1), "key2": (U32, 2)})
    with pytest.raises(InvalidGGUF, match="'key1' twice"):
        read(tmp_path, replaced(data, b"key2", b"key1"))
    nested = gguf_bytes({"k": (ARRAY, (ARRAY, [(U32, [1])]))})
    with pytest.raises(InvalidGGUF, match="unsupported type 9"):
        read(tmp_path, nested)


def test_other_files_are_told_apart(tmp_path: Path, gguf_bytes: Write) -> None:
    path = tmp_path / "x"
    for data, expected in ((gguf_bytes({}), True), (b"GGML....", False), (b"", False)):
        path.write_bytes(data)
        assert is_gguf(path) is expected
    with pytest.raises(InvalidGGUF, match="not a GGUF"):
        read(tmp_path, b"GGJTxxxxxxxx")
    with pytest.raises(InvalidGGUF, match="version 4"):
        read(tmp_path, gguf_bytes({}, version=4))


def test_array_of_a_changed_file_is_not_read(tmp_path: Path, gguf_bytes: Write) -> None:
    header = read(tmp_path, gguf_bytes(METADATA))
    array = header.metadata["tokenizer.ggml.tokens"]
    assert isinstance(array, GGUFArray)
    time.sleep(0.02)
    header.path.write_bytes(bytes(header.path.stat().st_size))
    with pytest.raises(InvalidGGUF, match="changed"):
        array.values()


TEXTS = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.just(b""),
        st.just(bytes(20)),
        st.integers(0, 700).map(lambda n: b"y" * n),
    ),
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS, repeat=st.integers(1, 60), order=st.sampled_from("<>"))
def test_long_lists_of_texts_are_skipped_exactly(
    tmp_path: Path, gguf_bytes: Write, texts: list[bytes], repeat: int, order: str
) -> None:
    """The fast way to skip texts has to agree with their lengths, zero bytes or not."""
    many = [text for text in texts for _ in range(repeat)] + [
        b"ordinary %d" % n for n in range(300)
    ]
    random.Random(repeat).shuffle(many)
    metadata = {"a": (ARRAY, (STRING, many)), "z": (STRING, "after")}
    header = read(tmp_path, gguf_bytes(metadata, order=order))
    assert header.metadata["z"] == "after"
    assert elements(header, "a") == [text.decode(errors="replace") for text in many]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes_do_no_harm(tmp_path: Path, gguf_bytes: Write, data: st.DataObject) -> None:
    version, order = data.draw(st.sampled_from([(1, "<"), (3, "<"), (3, ">")]))
    raw = bytearray(gguf_bytes(METADATA, TENSORS, version=version, order=order))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    try:
        header = read(tmp_path, bytes(raw[:cut]))
        for key, value in header.metadata.items():
            if isinstance(value, GGUFArray):
                elements(header, key)
    except InvalidGGUF:
        return
    assert all(tensor.offset + tensor.size <= cut for tensor in header.tensors)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_random_bytes_do_no_harm(tmp_path: Path, data: bytes) -> None:
    for prefix in (b"", b"GGUF", b"GGUF\3\0\0\0", b"FUGG\0\0\0\3"):
        try:
            read(tmp_path, prefix + data)
        except InvalidGGUF:
            continue


def test_large_vocabulary_is_skipped_quickly(tmp_path: Path, gguf_bytes: Write) -> None:
    words = [f"word{n}" for n in range(200_000)]
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf_bytes({"tokens": (ARRAY, (STRING, words))}))
    begin = time.process_time()
    header = read_gguf(path)
    assert time.process_time() - begin < 0.5  # one by one takes longer on any machine of today
    assert elements(header, "tokens")[-1] == words[-1]
