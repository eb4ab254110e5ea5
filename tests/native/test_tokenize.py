"""Text to tokens and back: llama.cpp's own expectations, and bytes nobody expects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama import errors
from pyollama._native import Model

SEPARATOR = "\n__ggml_vocab_test__\n"
# The pairs of a text and its ids that lie beside the vocabularies.
WITH_EXPECTATIONS = [
    "bert-bge", "command-r", "deepseek-coder", "deepseek-llm", "falcon", "gemma-4", "gpt-2",
    "llama-bpe", "llama-spm", "mpt", "phi-3", "qwen2", "qwen35", "refact", "starcoder",
]  # fmt: skip
NOT_UTF8 = [b"\xff\xfe", b"\x80", b"a\x00b\xff", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xed\xa0\x80"]


def test_no_pair_is_forgotten(vocab_folder: Path) -> None:
    found = {path.name for path in vocab_folder.glob("ggml-vocab-*.gguf.out")}
    assert found == {f"ggml-vocab-{name}.gguf.out" for name in WITH_EXPECTATIONS}


@pytest.mark.parametrize("name", WITH_EXPECTATIONS)
def test_ids_equal_those_of_llama_cpp(vocab_folder: Path, name: str) -> None:
    path = vocab_folder / f"ggml-vocab-{name}.gguf"
    texts = Path(f"{path}.inp").read_text("utf-8").split(SEPARATOR)
    expected = [
        [int(word) for word in line.split()]
        for line in Path(f"{path}.out").read_text("utf-8").splitlines()
    ]
    with Model(path, vocab_only=True) as model:
        batch = model.tokenize_batch(texts[: len(expected)], add_special=False)
        assert [ids.tolist() for ids in batch] == expected
    assert texts[len(expected) :] in ([], [""])  # some files end with a separator


@pytest.mark.parametrize("name", ["llama-spm", "llama-bpe", "bert-bge", "gpt-neox", "aquila"])
def test_every_vocabulary_survives_any_bytes(vocab_folder: Path, name: str) -> None:
    with Model(vocab_folder / f"ggml-vocab-{name}.gguf", vocab_only=True) as model:
        for text in (
            b"\xff\xfe",
            b"\x80",
            b"a\x00b",
            b"\xf0\x9f\x98",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"a\xf4\x90\x80\x80b\xf7\xbf\xbf\xbf",
        ):
            ids = model.tokenize(text)
            model.detokenize(ids)
            assert ((ids >= 0) & (ids < model.n_vocab)).all()


@given(data=st.binary(max_size=200), add=st.booleans(), parse=st.booleans())
def test_bytes_come_back_from_a_byte_vocabulary(
    model: Model, data: bytes, add: bool, parse: bool
) -> None:
    ids = model.tokenize(data, add_special=add, parse_special=parse)
    text = data.decode("utf-8", "replace").encode()
    if text == data and not parse:
        assert model.detokenize(ids) == data


@given(ids=st.lists(st.integers(0, 264), max_size=50))
def test_detokenize_is_the_join_of_the_pieces(model: Model, ids: list[int]) -> None:
    assert model.detokenize(ids) == b"".join(model.piece(token) for token in ids)
    rendered = model.detokenize(ids, render_special=True)
    assert rendered == b"".join(model.piece(token, render_special=True) for token in ids)


def test_empty_text_and_no_tokens(model: Model) -> None:
    assert model.tokenize("").tolist() == []
    assert model.detokenize([]) == b""
    assert model.tokenize_batch([]) == []
    assert model.detokenize_batch([]) == []


def test_special_tokens_only_when_asked_for(model: Model) -> None:
    token = model.tokenize("<|im_end|>", parse_special=True).tolist()
    assert token == [model.eot]
    assert len(model.tokenize("<|im_end|>")) == len("<|im_end|>")
    assert model.detokenize(token) == b""
    assert model.detokenize(token, render_special=True) == b"<|im_end|>"
    assert model.is_control(model.eot)
    assert model.is_eog(model.eot)
    assert set(model.eog_tokens) == {model.eos, model.eot}


def test_a_batch_equals_its_texts(model: Model) -> None:
    texts: list[str | bytes] = ["the", b"cat", "", "and the \U0001f600"]
    assert [ids.tolist() for ids in model.tokenize_batch(texts)] == [
        model.tokenize(text).tolist() for text in texts
    ]
    batch = model.tokenize_batch(texts)
    assert model.detokenize_batch(batch) == [b"the", b"cat", b"", "and the \U0001f600".encode()]


def test_lone_surrogates_become_the_replacement_character(model: Model) -> None:
    assert model.detokenize(model.tokenize("a\ud800b")) == "a\ufffdb".encode()


def test_a_long_text(model: Model) -> None:
    text = "the cat and " * 20000
    assert model.detokenize(model.tokenize(text)) == text.encode()


@pytest.mark.parametrize("token", [-1, 265, 2**31 - 1, 2**40])
def test_tokens_outside_the_vocabulary_are_refused(model: Model, token: int) -> None:
    for use in (model.piece, model.is_eog, model.is_control, model.token_score):
        with pytest.raises(errors.InvalidRequest):
            use(token)
    with pytest.raises(errors.InvalidRequest):
        model.detokenize([1, token])


def test_wrong_types_are_refused(model: Model) -> None:
    with pytest.raises(TypeError):
        model.tokenize(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        model.detokenize([0.5])
    with pytest.raises(errors.InvalidRequest, match="one dimension"):
        model.detokenize(np.zeros((2, 2), np.int32))


def test_the_special_tokens_of_a_real_vocabulary(vocab_folder: Path) -> None:
    with Model(vocab_folder / "ggml-vocab-llama-spm.gguf", vocab_only=True) as model:
        assert (model.bos, model.eos, model.vocab_type) == (1, 2, "spm")
        assert model.tokenize("Hello").tolist() == [1, 15043]
        assert model.tokenize("Hello", add_special=False).tolist() == [15043]
        assert model.detokenize([15043]) == b"Hello"
        assert model.detokenize([1, 15043], render_special=True) == b"<s> Hello"
