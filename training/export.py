"""The model as GGUF: F16 matrices, F32 vectors, vocabulary, chat template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens by id, and the pairs of byte-level BPE, commonest first."""

    tokens: list[str]
    merges: list[str]


def write(
    path: Path,
    tensors: Tensors,
    *,
    words: Vocabulary,
    control: tuple[str, str, str],
    shape: Mapping[str, Any],
    chat_template: str,
) -> None:
    """Write ``path`` anew.

    ``tensors`` go by their GGUF names, matrices as (outputs, inputs). ``control`` are the tokens
    for end of text, start of turn and end of turn. ``shape`` has the fields of ``network.Shape``.
    """
    writer = gguf.GGUFWriter(str(path), "qwen2")
    _describe(writer, sum(tensor.size for tensor in tensors.values()))
    writer.add_context_length(shape["context"])
    writer.add_embedding_length(shape["embedding"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["feed_forward"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_rope_freq_base(shape["rope_base"])
    writer.add_layer_norm_rms_eps(shape["epsilon"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _add_vocabulary(writer, words, control)
    writer.add_chat_template(chat_template)
    for name, tensor in tensors.items():
        kind = np.float16 if tensor.ndim > 1 else np.float32
        writer.add_tensor(name, np.ascontiguousarray(tensor, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read(path: Path) -> tuple[dict[str, NDArray[np.float32]], Vocabulary]:
    """Weights and vocabulary of a file that :func:`write` wrote."""
    reader = gguf.GGUFReader(path)
    tensors = {tensor.name: np.array(tensor.data, np.float32) for tensor in reader.tensors}
    tokens, merges = (
        reader.fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges")
    )
    return tensors, Vocabulary(tokens, merges)


def _describe(writer: gguf.GGUFWriter, parameters: int) -> None:
    writer.add_name("pyollama built-in")
    writer.add_description("A tiny chat model in simple English, trained on generated text.")
    writer.add_author("The pyollama contributors")
    writer.add_license("mit")
    writer.add_languages(["en"])
    writer.add_size_label(f"{parameters / 1e6:.1f}M")


def _add_vocabulary(
    writer: gguf.GGUFWriter, words: Vocabulary, control: tuple[str, str, str]
) -> None:
    end_of_text, _, end_of_turn = (words.tokens.index(text) for text in control)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(words.tokens)
    writer.add_token_types(
        [
            gguf.TokenType.CONTROL if text in control else gguf.TokenType.NORMAL
            for text in words.tokens
        ]
    )
    writer.add_token_merges(words.merges)
    writer.add_bos_token_id(end_of_text)
    writer.add_eos_token_id(end_of_turn)
    writer.add_eot_token_id(end_of_turn)
    writer.add_pad_token_id(end_of_text)
    writer.add_add_bos_token(False)
