"""Writing the GGUF file, and what ships beside it."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from training import export
from training.check import PROMPTS, Case, parse

from pyollama import builtin
from pyollama.store.gguf import read_gguf
from pyollama.store.modelfile import parse_modelfile

SHAPE = {
    "context": 64, "embedding": 8, "feed_forward": 16, "layers": 1, "heads": 2, "kv_heads": 1,
    "rope_base": 10000.0, "epsilon": 1e-6,
}  # fmt: skip
CONTROL = ("<end>", "<start>", "<stop>")
WORDS = export.Vocabulary(["a", "b", "ab", *CONTROL], ["a b"])


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    rng = np.random.default_rng(1)
    export.write(
        path,
        {
            "token_embd.weight": rng.normal(size=(6, 8)).astype(np.float32),
            "output_norm.weight": np.ones(8, np.float32),
        },
        words=WORDS,
        control=CONTROL,
        shape=SHAPE,
        chat_template="{{ messages }}",
    )
    return path


def test_metadata_says_how_to_run_it(written: Path) -> None:
    metadata = read_gguf(written).metadata
    assert metadata["general.architecture"] == "qwen2"
    assert metadata["general.license"] == "mit"
    assert metadata["qwen2.context_length"] == 64
    assert metadata["qwen2.attention.head_count_kv"] == 1
    assert metadata["tokenizer.ggml.pre"] == "qwen2"
    assert metadata["tokenizer.ggml.eos_token_id"] == 5
    assert metadata["tokenizer.ggml.bos_token_id"] == 3
    assert metadata["tokenizer.chat_template"] == "{{ messages }}"


def test_matrices_are_half_and_vectors_single_precision(written: Path) -> None:
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(written).tensors}
    matrix, vector = tensors["token_embd.weight"], tensors["output_norm.weight"]
    assert matrix.tensor_type == gguf.GGMLQuantizationType.F16
    assert vector.tensor_type == gguf.GGMLQuantizationType.F32
    # GGUF names the fastest dimension first.
    assert matrix.shape.tolist() == [8, 6]


def test_what_was_written_can_be_gone_on_from(written: Path) -> None:
    tensors, words = export.read(written)
    assert words == WORDS
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "token_embd.weight": (6, 8),
        "output_norm.weight": (8,),
    }
    assert tensors["output_norm.weight"].tolist() == [1.0] * 8


def test_control_tokens_are_marked(written: Path) -> None:
    field = gguf.GGUFReader(written).fields["tokenizer.ggml.token_type"]
    assert field.contents() == [1, 1, 1, 3, 3, 3]


def test_what_ships_is_small_and_complete() -> None:
    assert builtin.is_complete()
    modelfile = parse_modelfile((builtin.FOLDER / "Modelfile").read_bytes())
    model = builtin.FOLDER / modelfile.sources[0]
    assert model.stat().st_size <= 6_000_000
    metadata = read_gguf(model).metadata
    assert "<|im_start|>" in str(metadata["tokenizer.chat_template"])
    assert metadata["general.license"] == "mit"


def test_prompts_of_the_check() -> None:
    cases = parse(PROMPTS.read_text("utf-8"))
    assert len(cases) >= 60
    assert all(case.turns for case in cases)
    assert [case.system for case in cases if case.system] == ["You are a pirate.", "Be brief."]


@pytest.mark.parametrize(
    ("answer", "right"),
    [("Red and BLUE", True), ("green, blue", True), ("red", False), ("", False)],
)
def test_an_answer_is_judged_by_its_words(answer: str, right: bool) -> None:
    assert Case("", ("?",), "red | green, blue").accepts(answer) is right
