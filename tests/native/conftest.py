"""Models for the native tests: tiny ones made here, real vocabularies out of the vendored tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.native import tiny

from pyollama._native import Context, Model

VOCAB_FOLDER = Path(__file__).parents[2] / "vendor" / "llama.cpp" / "tree" / "models"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds one tiny model of each kind."""
    path = tmp_path_factory.mktemp("models")
    tiny.llama_like(path / "llama.gguf")
    tiny.llama_like(path / "qwen2.gguf", "qwen2", bias=True)
    tiny.gemma3_like(path / "gemma3.gguf")
    tiny.mamba_like(path / "mamba.gguf")
    tiny.bert_like(path / "bert.gguf")
    tiny.t5_like(path / "t5.gguf")
    tiny.lora(path / "lora.gguf")
    return path


@pytest.fixture(scope="session")
def model(folder: Path) -> Iterator[Model]:
    with Model(folder / "llama.gguf") as loaded:
        yield loaded


@pytest.fixture
def context(model: Model) -> Iterator[Context]:
    """Four sequences in one pool of cells."""
    with Context(model, n_ctx=512, n_batch=128, n_ubatch=64, n_seq_max=4, n_threads=2) as made:
        yield made


@pytest.fixture(scope="session")
def vocab_folder() -> Path:
    if not VOCAB_FOLDER.is_dir():
        pytest.skip("the vendored test vocabularies are not synced (make sync)")
    return VOCAB_FOLDER
