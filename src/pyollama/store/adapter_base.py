"""The configuration that an adapter's converter wants of the model the adapter is for.

A model in the store is a GGUF file; the converter wants the ``config.json`` it once was made from.
What matters of it, how rows are ordered for each head and how many layers there are, the file says.
"""

from __future__ import annotations

from typing import Any

from pyollama.errors import InvalidRequest
from pyollama.store.gguf import GGUFHeader

_CLASSES = {
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
    "llama": "LlamaForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}

_KEYS = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
    "vocab_size": "vocab_size",
}


def config_of(header: GGUFHeader | None) -> dict[str, Any]:
    """A ``config.json`` for the file of that header, as far as an adapter needs one."""
    architecture = header.architecture if header else "unknown"
    if header is None or architecture not in _CLASSES:
        raise InvalidRequest(
            f'unsupported architecture "{architecture}" for an adapter in safetensors format',
            hint="convert the adapter with llama.cpp's convert_lora_to_gguf.py and use the result",
            field="adapters",
        )
    found = {name: header.number(key) for name, key in _KEYS.items()}
    config: dict[str, Any] = {name: number for name, number in found.items() if number}
    return {"architectures": [_CLASSES[architecture]], **config}
