from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pyollama.errors import InvalidRequest
from pyollama.store.adapter_base import config_of
from pyollama.store.gguf import GGUFHeader, read_gguf

Make = Callable[..., bytes]
STRING, U32, ARRAY = 8, 4, 9


def header(tmp_path: Path, gguf_bytes: Make, architecture: str) -> GGUFHeader:
    metadata = {
        "general.architecture": (STRING, architecture),
        f"{architecture}.block_count": (U32, 2),
        f"{architecture}.embedding_length": (U32, 64),
        f"{architecture}.attention.head_count": (U32, 4),
        f"{architecture}.attention.head_count_kv": (U32, 2),
        f"{architecture}.feed_forward_length": (ARRAY, (U32, [96, 128])),
    }
    (tmp_path / "x.gguf").write_bytes(gguf_bytes(metadata))
    return read_gguf(tmp_path / "x.gguf")


def test_what_the_file_says_is_there(tmp_path: Path, gguf_bytes: Make) -> None:
    assert config_of(header(tmp_path, gguf_bytes, "qwen2")) == {
        "architectures": ["Qwen2ForCausalLM"],
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }


def test_other_architectures_are_named(tmp_path: Path, gguf_bytes: Make) -> None:
    with pytest.raises(InvalidRequest, match='unsupported architecture "mamba"') as caught:
        config_of(header(tmp_path, gguf_bytes, "mamba"))
    assert "convert_lora_to_gguf.py" in caught.value.hint
    with pytest.raises(InvalidRequest, match='unsupported architecture "unknown"'):
        config_of(None)
