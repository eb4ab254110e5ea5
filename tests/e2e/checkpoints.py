"""Small models in safetensors format, and what they compute, in plain numpy.

Each maker writes a folder as Hugging Face has them: ``config.json``, weights, tokenizer. The
weights are random but exact in 16 bits, so that conversion changes none of them. The forward passes
follow the papers and the configuration, not any implementation, and know nothing of GGUF.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = dict[str, Array]

HIDDEN, HEADS, KV_HEADS, LAYERS, FEED, CONTEXT = 64, 4, 2, 2, 96, 128
HEAD = HIDDEN // HEADS
THETA = 10000.0
EPSILON = 1e-5
WORDS = ("the", "boat", "sea", "a", "small", "wind", "and", "sails")

_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {
    "llama": rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}",
    "qwen2": rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}",
}
_NAMES = {"F32": np.float32, "F16": np.float16}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``expected`` gives the logits of the last token, or the vector of all of them."""

    folder: Path
    weights: Weights
    expected: Callable[[Sequence[int]], Array]

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


def llama(folder: Path, *, dtype: str = "F16") -> Checkpoint:
    """Grouped heads, no biases, an output matrix of its own."""
    return _decoder(folder, "llama", dtype, biased=False)


def qwen2(folder: Path, *, dtype: str = "F16") -> Checkpoint:
    """Biases on query, key and value; the output matrix is that of the embeddings."""
    return _decoder(folder, "qwen2", dtype, biased=True)


def bert(folder: Path) -> Checkpoint:
    """An encoder with learnt positions and the mean over all tokens."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    rng = np.random.default_rng(3)
    weights = {
        "embeddings.word_embeddings.weight": _random(rng, len(vocabulary), HIDDEN),
        "embeddings.position_embeddings.weight": _random(rng, CONTEXT, HIDDEN),
        "embeddings.token_type_embeddings.weight": _random(rng, 2, HIDDEN),
    }
    weights |= _norm(rng, "embeddings.LayerNorm")
    for i in range(LAYERS):
        at = f"encoder.layer.{i}."
        for name, rows, columns in (
            *((f"attention.self.{part}", HIDDEN, HIDDEN) for part in ("query", "key", "value")),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", FEED, HIDDEN),
            ("output.dense", HIDDEN, FEED),
        ):
            weights[f"{at}{name}.weight"] = _random(rng, rows, columns)
            weights[f"{at}{name}.bias"] = _random(rng, rows)
        weights |= _norm(rng, f"{at}attention.output.LayerNorm")
        weights |= _norm(rng, f"{at}output.LayerNorm")
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": FEED,
        "max_position_embeddings": CONTEXT,
        "type_vocab_size": 2,
        "vocab_size": len(vocabulary),
        "layer_norm_eps": EPSILON,
        "hidden_act": "gelu",
        "pad_token_id": 0,
    }
    names = {name: place for place, name in enumerate(vocabulary)}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [_special(names[name], name) for name in vocabulary[:5]],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": names,
        },
    }
    texts = {
        "config.json": config,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {
            "tokenizer_class": "BertTokenizer",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "mask_token": "[MASK]",
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "x.models.Pooling"},
        ],
        "1_Pooling/config.json": {"pooling_mode_mean_tokens": True},
    }
    _write(folder, weights, texts, "F32")
    return Checkpoint(folder, weights, lambda tokens: _encode(weights, tokens))


def seeing(folder: Path) -> Checkpoint:
    """A Llama with a small encoder of images, as SmolVLM has them; what it sees is not computed."""
    inner = llama(folder.with_name(f"{folder.name}-text"))
    config = json.loads((inner.folder / "config.json").read_text())
    rng = np.random.default_rng(7)
    weights = {
        name.replace("model.", "model.text_model.", 1): array
        for name, array in inner.weights.items()
    }
    at = "model.vision_model."
    weights |= {
        f"{at}embeddings.patch_embedding.weight": _random(rng, HIDDEN, 3, 8, 8),
        f"{at}embeddings.patch_embedding.bias": _random(rng, HIDDEN),
        f"{at}embeddings.position_embedding.weight": _random(rng, 16, HIDDEN),
        "model.connector.modality_projection.proj.weight": _random(rng, HIDDEN, 4 * HIDDEN),
    }
    weights |= _norm(rng, f"{at}post_layernorm")
    for name, rows, columns in (
        *((f"self_attn.{part}_proj", HIDDEN, HIDDEN) for part in ("q", "k", "v", "out")),
        ("mlp.fc1", FEED, HIDDEN),
        ("mlp.fc2", HIDDEN, FEED),
    ):
        weights[f"{at}encoder.layers.0.{name}.weight"] = _random(rng, rows, columns)
        weights[f"{at}encoder.layers.0.{name}.bias"] = _random(rng, rows)
    for name in ("layer_norm1", "layer_norm2"):
        weights |= _norm(rng, f"{at}encoder.layers.0.{name}")
    texts = {
        path.name: json.loads(path.read_text())
        for path in inner.folder.glob("*.json")
        if path.name != "model.safetensors.index.json"
    }
    texts["config.json"] = {
        "architectures": ["SmolVLMForConditionalGeneration"],
        "model_type": "smolvlm",
        "scale_factor": 2,
        "text_config": {**config, "architectures": ["VLlama3ForCausalLM"]},
        "vision_config": {
            "model_type": "smolvlm_vision",
            "hidden_size": HIDDEN,
            "intermediate_size": FEED,
            "num_hidden_layers": 1,
            "num_attention_heads": HEADS,
            "image_size": 32,
            "patch_size": 8,
        },
    }
    texts["preprocessor_config.json"] = {
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "size": {"longest_edge": 32},
    }
    _write(folder, weights, texts, "F16")
    return Checkpoint(folder, weights, inner.expected)


def lora(folder: Path, *, rank: int = 4) -> Weights:
    """An adapter for :func:`llama` that changes queries and what goes back to the stream."""
    rng = np.random.default_rng(9)
    weights = {}
    for i in range(LAYERS):
        for name, rows, columns in (
            ("self_attn.q_proj", HIDDEN, HIDDEN),
            ("mlp.down_proj", HIDDEN, FEED),
        ):
            at = f"base_model.model.model.layers.{i}.{name}"
            weights[f"{at}.lora_A.weight"] = _random(rng, rank, columns)
            weights[f"{at}.lora_B.weight"] = _random(rng, rows, rank)
    config = {"peft_type": "LORA", "lora_alpha": 2 * rank, "r": rank}
    folder.mkdir(parents=True)
    write_safetensors(folder / "adapter_model.safetensors", weights, "F16")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return weights


def with_lora(weights: Weights, adapter: Weights, *, scale: float = 2.0) -> Weights:
    """The weights of a model with an adapter added; ``scale`` is alpha through rank."""
    changed = dict(weights)
    for name, a in adapter.items():
        if name.endswith(".lora_A.weight"):
            b = adapter[name.replace("lora_A", "lora_B")]
            target = name.removeprefix("base_model.model.").replace("lora_A.", "")
            changed[target] = changed[target] + scale * (b @ a)
    return changed


def decode(weights: Weights, tokens: Sequence[int]) -> Array:
    """The logits behind the last token of a Llama or Qwen2."""
    x = weights["model.embed_tokens.weight"][list(tokens)]
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        h = _rms(x, weights[f"{at}input_layernorm.weight"])
        q, k, v = (_linear(weights, f"{at}self_attn.{part}_proj", h) for part in "qkv")
        mixed = _attention(_rotated(q, HEADS), _rotated(k, KV_HEADS), v, causal=True)
        x = x + _linear(weights, f"{at}self_attn.o_proj", mixed)
        h = _rms(x, weights[f"{at}post_attention_layernorm.weight"])
        gate, up = (_linear(weights, f"{at}mlp.{part}_proj", h) for part in ("gate", "up"))
        x = x + _linear(weights, f"{at}mlp.down_proj", gate / (1 + np.exp(-gate)) * up)
    x = _rms(x[-1:], weights["model.norm.weight"])
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    logits: Array = (x @ head.T)[0]
    return logits


def write_safetensors(path: Path, weights: Mapping[str, Array], dtype: str) -> None:
    """https://huggingface.co/docs/safetensors: a length, a JSON header, the tensors."""
    header, at, data = {}, 0, []
    for name, array in weights.items():
        raw = array.astype(_NAMES[dtype]).tobytes()
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        data.append(raw)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data))


def _decoder(folder: Path, kind: str, dtype: str, *, biased: bool) -> Checkpoint:
    special = ["<|begin|>", "<|endoftext|>"]
    vocabulary, merges = _byte_pairs()
    names = {name: place for place, name in enumerate([*vocabulary, *special])}
    rng = np.random.default_rng(len(kind))
    weights = {"model.embed_tokens.weight": _random(rng, len(names), HIDDEN)}
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        for name, rows, columns in (
            ("self_attn.q_proj", HIDDEN, HIDDEN),
            ("self_attn.k_proj", KV_HEADS * HEAD, HIDDEN),
            ("self_attn.v_proj", KV_HEADS * HEAD, HIDDEN),
            ("self_attn.o_proj", HIDDEN, HIDDEN),
            ("mlp.gate_proj", FEED, HIDDEN),
            ("mlp.up_proj", FEED, HIDDEN),
            ("mlp.down_proj", HIDDEN, FEED),
        ):
            weights[f"{at}{name}.weight"] = _random(rng, rows, columns)
            if biased and name[10:] in ("q_proj", "k_proj", "v_proj"):
                weights[f"{at}{name}.bias"] = _random(rng, rows)
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{at}{name}.weight"] = 1 + _random(rng, HIDDEN)
    weights["model.norm.weight"] = 1 + _random(rng, HIDDEN)
    if not biased:
        weights["lm_head.weight"] = _random(rng, len(names), HIDDEN)
    config = {
        "architectures": ["LlamaForCausalLM" if kind == "llama" else "Qwen2ForCausalLM"],
        "model_type": kind,
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "intermediate_size": FEED,
        "max_position_embeddings": CONTEXT,
        "vocab_size": len(names),
        "rms_norm_eps": EPSILON,
        "rope_theta": THETA,
        "tie_word_embeddings": biased,
        "hidden_act": "silu",
        "bos_token_id": names["<|begin|>"],
        "eos_token_id": names["<|endoftext|>"],
    }
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    pattern = {"Regex": _SPLITS[kind]}
    split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [_special(names[name], name) for name in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "byte_fallback": False,
            "ignore_merges": kind == "llama",
            "vocab": {name: names[name] for name in vocabulary},
            "merges": merges,
        },
    }
    texts = {
        "config.json": config,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|begin|>",
            "eos_token": "<|endoftext|>",
            "chat_template": "{% for m in messages %}{{ m['content'] }}{% endfor %}",
        },
        "generation_config.json": {"eos_token_id": names["<|endoftext|>"]},
    }
    _write(folder, weights, texts, dtype)
    return Checkpoint(folder, weights, lambda tokens: decode(weights, tokens))


def _write(folder: Path, weights: Weights, texts: Mapping[str, Any], dtype: str) -> None:
    folder.mkdir(parents=True)
    half = len(weights) // 2
    pieces = [dict(list(weights.items())[:half]), dict(list(weights.items())[half:])]
    index: dict[str, str] = {}
    for number, piece in enumerate(pieces, 1):
        name = f"model-{number:05}-of-00002.safetensors"
        write_safetensors(folder / name, piece, dtype)
        index |= dict.fromkeys(piece, name)
    texts = {**texts, "model.safetensors.index.json": {"metadata": {}, "weight_map": index}}
    for name, content in texts.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))


def _byte_pairs() -> tuple[list[str], list[list[str]]]:
    """All bytes as the characters GPT-2 writes for them, and the merges that make some words."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + place) for place, byte in enumerate(others)}
    vocabulary = [letters[byte] for byte in range(256)]
    merges = []
    for word in WORDS:
        piece = letters[ord(" ")]
        for letter in word:
            if piece + letter not in vocabulary:
                merges.append([piece, letter])
                vocabulary.append(piece + letter)
            piece += letter
    return vocabulary, merges


def _special(place: int, content: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": place, "content": content, "special": True, **flags}


def _random(rng: np.random.Generator, *shape: int) -> Array:
    """Numbers that float16 holds exactly; not so small that all answers are alike."""
    numbers: Array = rng.normal(0, 0.15, shape).astype(np.float16).astype(np.float64)
    return numbers


def _norm(rng: np.random.Generator, name: str) -> Weights:
    return {f"{name}.weight": 1 + _random(rng, HIDDEN), f"{name}.bias": _random(rng, HIDDEN)}


def _linear(weights: Weights, name: str, x: Array) -> Array:
    product: Array = x @ weights[f"{name}.weight"].T
    return product + weights[f"{name}.bias"] if f"{name}.bias" in weights else product


def _rms(x: Array, weight: Array) -> Array:
    normal: Array = x / np.sqrt((x**2).mean(-1, keepdims=True) + EPSILON)
    return normal * weight


def _rotated(x: Array, heads: int) -> Array:
    """Rotary positions as the checkpoints have them: the halves of a head belong together."""
    angle = np.outer(np.arange(len(x)), THETA ** (-np.arange(0, HEAD, 2) / HEAD))[:, None, :]
    first, second = np.split(x.reshape(len(x), heads, HEAD), 2, axis=-1)
    turned = (
        first * np.cos(angle) - second * np.sin(angle),
        second * np.cos(angle) + first * np.sin(angle),
    )
    return np.concatenate(turned, -1).reshape(len(x), -1)


def _attention(q: Array, k: Array, v: Array, *, causal: bool) -> Array:
    n, out = len(q), []
    q, k, v = (x.reshape(n, -1, HEAD) for x in (q, k, v))
    for head in range(q.shape[1]):
        shared = head * k.shape[1] // q.shape[1]
        scores = q[:, head] @ k[:, shared].T / math.sqrt(HEAD)
        if causal:
            scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
        chances = np.exp(scores - scores.max(-1, keepdims=True))
        out.append(chances / chances.sum(-1, keepdims=True) @ v[:, shared])
    return np.concatenate(out, -1)


def _encode(weights: Weights, tokens: Sequence[int]) -> Array:
    places = np.arange(len(tokens))
    x = (
        weights["embeddings.word_embeddings.weight"][list(tokens)]
        + weights["embeddings.position_embeddings.weight"][places]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    x = _layer_norm(weights, "embeddings.LayerNorm", x)
    for i in range(LAYERS):
        at = f"encoder.layer.{i}."
        q, k, v = (
            _linear(weights, f"{at}attention.self.{p}", x) for p in ("query", "key", "value")
        )
        mixed = _linear(weights, f"{at}attention.output.dense", _attention(q, k, v, causal=False))
        x = _layer_norm(weights, f"{at}attention.output.LayerNorm", x + mixed)
        h = _gelu(_linear(weights, f"{at}intermediate.dense", x))
        x = _layer_norm(
            weights, f"{at}output.LayerNorm", x + _linear(weights, f"{at}output.dense", h)
        )
    vector: Array = x.mean(0)
    return vector / float(np.linalg.norm(vector))


def _layer_norm(weights: Weights, name: str, x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    normal: Array = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
    return normal * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _gelu(x: Array) -> Array:
    cumulated: Array = np.vectorize(math.erf)(x / math.sqrt(2))
    halved: Array = x * (1 + cumulated) / 2
    return halved
