"""Tiny GGUF models with random weights, one of each kind of memory llama.cpp has.

Written in well under a second, a few hundred KB each. What they say makes no sense, but they say it
reproducibly, and that is all that the tests of the binding need.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

N_EMBD = 64
N_FF = 96
N_HEAD = 4
N_HEAD_KV = 2
N_CTX_TRAIN = 512
SPECIALS = ["<|end|>", "<|im_start|>", "<|im_end|>", "<think>"]
CHAT_TEMPLATE = (
    "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)


def _byte_characters() -> list[str]:
    """The characters that stand for the 256 bytes in a GPT-2 vocabulary."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in visible else chr(next(others)) for byte in range(256)]


def _add_bpe_vocab(writer: gguf.GGUFWriter, n_extra: int = 0) -> int:
    characters = _byte_characters()
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("a", "n"), ("an", "d")]
    tokens = [*characters, *("".join(pair) for pair in merges)]
    tokens += [f"extra{i}" for i in range(n_extra)]
    tokens += SPECIALS
    kinds = [gguf.TokenType.NORMAL] * (len(tokens) - len(SPECIALS))
    kinds += [gguf.TokenType.CONTROL] * len(SPECIALS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(tokens.index("<|end|>"))
    writer.add_eot_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    return len(tokens)


def _add_wordpiece_vocab(writer: gguf.GGUFWriter) -> int:
    words = ["▁hello", "▁world", "▁the", "▁cat", "▁sat", "ly", *map(chr, range(97, 123))]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * 5 + [gguf.TokenType.NORMAL] * len(words))
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_mask_token_id(4)
    writer.add_token_type_count(2)
    return len(tokens)


class _Weights:
    def __init__(self, writer: gguf.GGUFWriter, seed: int) -> None:
        self._writer = writer
        self._random = np.random.default_rng(seed)

    def matrix(self, name: str, *shape: int, zero_rows: int = 0) -> None:
        """Random values; the last ``zero_rows`` rows are zero."""
        values: NDArray[np.float32] = self._random.standard_normal(shape, np.float32)
        values[len(values) - zero_rows :] = 0
        self._writer.add_tensor(name, values / np.float32(np.sqrt(shape[-1])))

    def ones(self, name: str, size: int = 0) -> None:
        self._writer.add_tensor(name, np.ones(size or N_EMBD, np.float32))

    def zeros(self, name: str, size: int = 0) -> None:
        self._writer.add_tensor(name, np.zeros(size or N_EMBD, np.float32))

    def attention(self, block: str, *, bias: bool = False) -> None:
        kv = N_EMBD // N_HEAD * N_HEAD_KV
        for name, rows in (("attn_q", N_EMBD), ("attn_k", kv), ("attn_v", kv)):
            self.matrix(f"{block}.{name}.weight", rows, N_EMBD)
            if bias:
                self.matrix(f"{block}.{name}.bias", rows)
        self.matrix(f"{block}.attn_output.weight", N_EMBD, N_EMBD)

    def gated_ffn(self, block: str) -> None:
        self.matrix(f"{block}.ffn_gate.weight", N_FF, N_EMBD)
        self.matrix(f"{block}.ffn_up.weight", N_FF, N_EMBD)
        self.matrix(f"{block}.ffn_down.weight", N_EMBD, N_FF)


def _write(
    path: Path,
    arch: str,
    n_layer: int,
    fill: Callable[[gguf.GGUFWriter, _Weights], None],
    split_every: int = 0,
    n_ctx_train: int = N_CTX_TRAIN,
) -> Path:
    writer = gguf.GGUFWriter(path, arch, split_max_tensors=split_every)
    writer.add_context_length(n_ctx_train)
    writer.add_embedding_length(N_EMBD)
    writer.add_block_count(n_layer)
    fill(writer, _Weights(writer, seed=len(arch)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_attention_facts(writer: gguf.GGUFWriter) -> None:
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(N_HEAD)
    writer.add_head_count_kv(N_HEAD_KV)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)


def llama_like(
    path: Path,
    arch: str = "llama",
    *,
    bias: bool = False,
    pooling: gguf.PoolingType | None = None,
    n_layer: int = 2,
    n_extra: int = 0,
    split_every: int = 0,
    n_ctx_train: int = N_CTX_TRAIN,
) -> Path:
    """A decoder with a plain KV cache; ``qwen2`` has biases in its attention.

    No special token is ever among its forty likeliest, so that answers only end at a limit. With
    ``pooling`` it is one for embeddings, ``n_extra`` makes the vocabulary larger. With
    ``split_every`` it is several files of so many tensors, named after ``path``. ``n_ctx_train``
    is the longest context that it claims to know.
    """

    def fill(writer: gguf.GGUFWriter, weights: _Weights) -> None:
        _add_attention_facts(writer)
        if pooling is not None:
            writer.add_pooling_type(pooling)
        n_vocab = _add_bpe_vocab(writer, n_extra)
        weights.matrix("token_embd.weight", n_vocab, N_EMBD)
        weights.matrix("output.weight", n_vocab, N_EMBD, zero_rows=len(SPECIALS))
        weights.ones("output_norm.weight")
        for i in range(n_layer):
            weights.ones(f"blk.{i}.attn_norm.weight")
            weights.attention(f"blk.{i}", bias=bias)
            weights.ones(f"blk.{i}.ffn_norm.weight")
            weights.gated_ffn(f"blk.{i}")

    return _write(path, arch, n_layer, fill, split_every, n_ctx_train)


def gemma3_like(path: Path) -> Path:
    """A decoder with a sliding window of 16 tokens in five of its six layers."""

    def fill(writer: gguf.GGUFWriter, weights: _Weights) -> None:
        _add_attention_facts(writer)
        writer.add_sliding_window(16)
        writer.add_key_length(N_EMBD // N_HEAD)
        writer.add_value_length(N_EMBD // N_HEAD)
        weights.matrix("token_embd.weight", _add_bpe_vocab(writer), N_EMBD)
        weights.ones("output_norm.weight")
        for i in range(6):
            weights.attention(f"blk.{i}")
            for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
                weights.ones(f"blk.{i}.{norm}.weight")
            for norm in ("attn_q_norm", "attn_k_norm"):
                weights.ones(f"blk.{i}.{norm}.weight", N_EMBD // N_HEAD)
            weights.gated_ffn(f"blk.{i}")

    return _write(path, "gemma3", 6, fill)


def mamba_like(path: Path) -> Path:
    """A recurrent model: one state per sequence instead of cells."""
    inner, conv, state, rank = 2 * N_EMBD, 4, 16, 4

    def fill(writer: gguf.GGUFWriter, weights: _Weights) -> None:
        writer.add_feed_forward_length(0)
        writer.add_head_count(0)
        writer.add_layer_norm_rms_eps(1e-6)
        writer.add_ssm_conv_kernel(conv)
        writer.add_ssm_inner_size(inner)
        writer.add_ssm_state_size(state)
        writer.add_ssm_time_step_rank(rank)
        weights.matrix("token_embd.weight", _add_bpe_vocab(writer), N_EMBD)
        weights.ones("output_norm.weight")
        for i in range(2):
            weights.ones(f"blk.{i}.attn_norm.weight")
            weights.matrix(f"blk.{i}.ssm_in.weight", 2 * inner, N_EMBD)
            weights.matrix(f"blk.{i}.ssm_conv1d.weight", inner, conv)
            weights.zeros(f"blk.{i}.ssm_conv1d.bias", inner)
            weights.matrix(f"blk.{i}.ssm_x.weight", rank + 2 * state, inner)
            weights.matrix(f"blk.{i}.ssm_dt.weight", inner, rank)
            weights.zeros(f"blk.{i}.ssm_dt.bias", inner)
            decay = -np.tile(np.arange(1, state + 1, dtype=np.float32), (inner, 1))
            writer.add_tensor(f"blk.{i}.ssm_a", decay)
            weights.ones(f"blk.{i}.ssm_d", inner)
            weights.matrix(f"blk.{i}.ssm_out.weight", N_EMBD, inner)

    return _write(path, "mamba", 2, fill)


def lfm2_like(path: Path) -> Path:
    """A hybrid: a layer with a state for each sequence, and one with a cell for each token."""
    window = 3

    def fill(writer: gguf.GGUFWriter, weights: _Weights) -> None:
        writer.add_feed_forward_length(N_FF)
        writer.add_head_count(N_HEAD)
        writer.add_head_count_kv([0, N_HEAD_KV])
        writer.add_layer_norm_rms_eps(1e-6)
        writer.add_rope_freq_base(10000.0)
        writer.add_shortconv_l_cache(window)
        weights.matrix("token_embd.weight", _add_bpe_vocab(writer), N_EMBD)
        weights.ones("token_embd_norm.weight")
        weights.matrix("blk.0.shortconv.conv.weight", N_EMBD, window)
        weights.matrix("blk.0.shortconv.in_proj.weight", 3 * N_EMBD, N_EMBD)
        weights.matrix("blk.0.shortconv.out_proj.weight", N_EMBD, N_EMBD)
        weights.attention("blk.1")
        for norm in ("attn_q_norm", "attn_k_norm"):
            weights.ones(f"blk.1.{norm}.weight", N_EMBD // N_HEAD)
        for i in range(2):
            weights.ones(f"blk.{i}.attn_norm.weight")
            weights.ones(f"blk.{i}.ffn_norm.weight")
            weights.gated_ffn(f"blk.{i}")

    return _write(path, "lfm2", 2, fill)


def bert_like(path: Path, pooling: gguf.PoolingType = gguf.PoolingType.MEAN) -> Path:
    """An encoder without any cache, for embeddings; ``RANK`` gives it a classifier."""

    def fill(writer: gguf.GGUFWriter, weights: _Weights) -> None:
        writer.add_feed_forward_length(N_FF)
        writer.add_head_count(N_HEAD)
        writer.add_layer_norm_eps(1e-12)
        writer.add_causal_attention(False)
        writer.add_pooling_type(pooling)
        weights.matrix("token_embd.weight", _add_wordpiece_vocab(writer), N_EMBD)
        weights.matrix("position_embd.weight", N_CTX_TRAIN, N_EMBD)
        weights.matrix("token_types.weight", 2, N_EMBD)
        weights.ones("token_embd_norm.weight")
        weights.zeros("token_embd_norm.bias")
        for i in range(2):
            for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
                weights.matrix(f"blk.{i}.{name}.weight", N_EMBD, N_EMBD)
                weights.zeros(f"blk.{i}.{name}.bias")
            weights.matrix(f"blk.{i}.ffn_up.weight", N_FF, N_EMBD)
            weights.zeros(f"blk.{i}.ffn_up.bias", N_FF)
            weights.matrix(f"blk.{i}.ffn_down.weight", N_EMBD, N_FF)
            weights.zeros(f"blk.{i}.ffn_down.bias")
            for norm in ("attn_output_norm", "layer_output_norm"):
                weights.ones(f"blk.{i}.{norm}.weight")
                weights.zeros(f"blk.{i}.{norm}.bias")
        if pooling == gguf.PoolingType.RANK:
            weights.matrix("cls.weight", N_EMBD, N_EMBD)
            weights.matrix("cls.output.weight", 1, N_EMBD)

    return _write(path, "bert", 2, fill)


def t5_like(path: Path, *, decoder: bool = True) -> Path:
    """An encoder, and a ``decoder`` that looks at what it made; without one, for embeddings."""

    def attention(weights: _Weights, block: str, prefix: str) -> None:
        for name in "qkvo":
            weights.matrix(f"{block}.{prefix}attn_{name}.weight", N_EMBD, N_EMBD)
        weights.ones(f"{block}.{prefix}attn_norm.weight")

    def fill(writer: gguf.GGUFWriter, weights: _Weights) -> None:
        writer.add_feed_forward_length(N_FF)
        writer.add_head_count(N_HEAD)
        writer.add_layer_norm_rms_eps(1e-6)
        writer.add_relative_attn_buckets_count(32)
        writer.add_decoder_start_token_id(0)
        weights.matrix("token_embd.weight", _add_bpe_vocab(writer), N_EMBD)
        for side in ("enc", "dec") if decoder else ("enc",):
            weights.ones(f"{side}.output_norm.weight")
            attention(weights, f"{side}.blk.0", "")
            weights.matrix(f"{side}.blk.0.attn_rel_b.weight", 32, N_HEAD)
            weights.ones(f"{side}.blk.0.ffn_norm.weight")
            weights.gated_ffn(f"{side}.blk.0")
        if decoder:
            attention(weights, "dec.blk.0", "cross_")
        else:
            writer.add_pooling_type(gguf.PoolingType.MEAN)

    return _write(path, "t5" if decoder else "t5encoder", 1, fill)


def lora(path: Path, arch: str = "llama") -> Path:
    """An adapter of rank 2 for the first query matrix."""
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 16.0)
    for name, shape in (("lora_a", (2, N_EMBD)), ("lora_b", (N_EMBD, 2))):
        values = random.standard_normal(shape, np.float32)
        writer.add_tensor(f"blk.0.attn_q.weight.{name}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
