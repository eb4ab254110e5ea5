"""Models with a real vocabulary, a real shape and random weights.

Speed does not depend on what the weights say, so such a file stands in for the published model of
the same shape. Files are written once and kept in a cache folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

VOCABULARIES = Path(__file__).parents[1] / "vendor" / "llama.cpp" / "tree" / "models"


@dataclass(frozen=True, slots=True)
class Decoder:
    """Shape of a decoder-only transformer with tied embeddings."""

    architecture: str
    vocabulary: str
    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    context: int
    rope_base: float
    qkv_bias: bool


@dataclass(frozen=True, slots=True)
class Encoder:
    """Shape of a BERT-like encoder with mean pooling."""

    vocabulary: str
    layers: int
    width: int
    feed_forward: int
    heads: int
    context: int


SHAPES: dict[str, Decoder | Encoder] = {
    "qwen2.5-0.5b": Decoder("qwen2", "qwen2", 24, 896, 4864, 14, 2, 32768, 1e6, True),
    "qwen2.5-1.5b": Decoder("qwen2", "qwen2", 28, 1536, 8960, 12, 2, 32768, 1e6, True),
    "llama3.2-1b": Decoder("llama", "llama-bpe", 16, 2048, 8192, 32, 8, 131072, 5e5, False),
    "tiny-qwen2": Decoder("qwen2", "qwen2", 2, 64, 176, 4, 2, 32768, 1e6, True),
    "tiny-llama": Decoder("llama", "llama-spm", 2, 64, 176, 4, 2, 32768, 1e4, False),
    "minilm-l6": Encoder("bert-bge", 6, 384, 1536, 12, 512),
}


def model(shape: str, file_type: str = "F16") -> Path:
    """Path of the model of that shape, written now if the cache lacks it."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pyollama-bench"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{shape}-{file_type}.gguf"
    if path.exists():
        return path
    unfinished = path.with_suffix(".partial")
    if file_type == "F16":
        _write(shape, unfinished)
    else:
        from pyollama import _native

        _native.quantize(model(shape), unfinished, file_type)
    unfinished.rename(path)
    return path


def _write(shape: str, path: Path) -> None:
    wanted = SHAPES[shape]
    architecture = wanted.architecture if isinstance(wanted, Decoder) else "bert"
    writer = gguf.GGUFWriter(path, architecture)
    n_vocab = _copy_vocabulary(writer, VOCABULARIES / f"ggml-vocab-{wanted.vocabulary}.gguf")
    writer.add_name(f"synthetic {shape}")
    writer.add_vocab_size(n_vocab)
    writer.add_context_length(wanted.context)
    writer.add_embedding_length(wanted.width)
    writer.add_block_count(wanted.layers)
    writer.add_feed_forward_length(wanted.feed_forward)
    writer.add_head_count(wanted.heads)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    if isinstance(wanted, Decoder):
        _add_decoder(writer, wanted, n_vocab)
    else:
        _add_encoder(writer, wanted, n_vocab)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copy_vocabulary(writer: gguf.GGUFWriter, path: Path) -> int:
    fields = gguf.GGUFReader(path).fields
    for key, field in fields.items():
        if key.startswith("tokenizer."):
            kind = field.types[0]
            element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, sub_type=element)
    return len(fields["tokenizer.ggml.tokens"].data)


def _random(writer: gguf.GGUFWriter) -> Callable[..., None]:
    rng = np.random.default_rng(0)

    def add(name: str, *shape: int) -> None:
        weights = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        writer.add_tensor(name, weights.astype(np.float16))

    return add


def _add_decoder(writer: gguf.GGUFWriter, shape: Decoder, n_vocab: int) -> None:
    width, head = shape.width, shape.width // shape.heads
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(head)
    writer.add_layer_norm_rms_eps(1e-6)
    matrix = _random(writer)
    ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
    matrix("token_embd.weight", n_vocab, width)
    writer.add_tensor("output_norm.weight", ones)
    for i in range(shape.layers):
        writer.add_tensor(f"blk.{i}.attn_norm.weight", ones)
        writer.add_tensor(f"blk.{i}.ffn_norm.weight", ones)
        for part, rows in (
            ("q", width),
            ("k", head * shape.kv_heads),
            ("v", head * shape.kv_heads),
        ):
            matrix(f"blk.{i}.attn_{part}.weight", rows, width)
            if shape.qkv_bias:
                writer.add_tensor(f"blk.{i}.attn_{part}.bias", zeros[:rows])
        matrix(f"blk.{i}.attn_output.weight", width, width)
        matrix(f"blk.{i}.ffn_gate.weight", shape.feed_forward, width)
        matrix(f"blk.{i}.ffn_up.weight", shape.feed_forward, width)
        matrix(f"blk.{i}.ffn_down.weight", width, shape.feed_forward)


def _add_encoder(writer: gguf.GGUFWriter, shape: Encoder, n_vocab: int) -> None:
    width = shape.width
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_layer_norm_eps(1e-12)
    matrix = _random(writer)
    ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
    matrix("token_embd.weight", n_vocab, width)
    writer.add_tensor("token_types.weight", np.zeros((2, width), np.float32))
    matrix("position_embd.weight", shape.context, width)
    for norm in (
        "token_embd_norm",
        *(
            f"blk.{i}.{kind}_norm"
            for i in range(shape.layers)
            for kind in ("attn_output", "layer_output")
        ),
    ):
        writer.add_tensor(f"{norm}.weight", ones)
        writer.add_tensor(f"{norm}.bias", zeros)
    for i in range(shape.layers):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{i}.{part}.weight", width, width)
            writer.add_tensor(f"blk.{i}.{part}.bias", zeros)
        matrix(f"blk.{i}.ffn_up.weight", shape.feed_forward, width)
        writer.add_tensor(f"blk.{i}.ffn_up.bias", np.zeros(shape.feed_forward, np.float32))
        matrix(f"blk.{i}.ffn_down.weight", width, shape.feed_forward)
        writer.add_tensor(f"blk.{i}.ffn_down.bias", zeros)
