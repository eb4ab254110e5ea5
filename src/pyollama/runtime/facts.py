"""What the header of a model says about the memory it will need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pyollama.store.gguf import GGUFArray, Value

MOST_LAYERS = 4096
"""What a header says beyond that is a lie; llama.cpp takes 512."""

_STATE_BYTES = 4  # recurrent state is kept as f32


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """``size`` is bytes on disk, adapters included.

    ``kv_elements`` are the numbers that one token leaves in the KV cache, over all layers, and
    ``state_bytes`` the recurrent state of one sequence. What the header does not say is 0.
    """

    size: int
    n_layers: int
    n_ctx_train: int
    n_embd: int
    n_vocab: int
    kv_elements: int
    state_bytes: int
    embeddings: bool

    @classmethod
    def read(cls, metadata: Mapping[str, Value], size: int) -> ModelFacts:
        header = _Header(metadata)
        vocabulary = metadata.get("tokenizer.ggml.tokens")
        n_vocab = vocabulary.length if isinstance(vocabulary, GGUFArray) else 0
        return cls(
            size=size,
            n_layers=header.n_layers,
            n_ctx_train=header.number("context_length"),
            n_embd=header.number("embedding_length"),
            n_vocab=n_vocab or header.number("vocab_size"),
            kv_elements=_kv_elements(header),
            state_bytes=_state_bytes(header),
            embeddings=header.get("pooling_type") is not None,
        )

    def beside(self, draft: ModelFacts) -> ModelFacts:
        """What both models together take; the draft model has as long a context."""
        return replace(
            self,
            size=self.size + draft.size,
            kv_elements=self.kv_elements + draft.kv_elements,
            state_bytes=self.state_bytes + draft.state_bytes,
        )


class _Header:
    """The keys of the architecture."""

    def __init__(self, metadata: Mapping[str, Value]) -> None:
        self._metadata = metadata
        self._prefix = metadata.get("general.architecture", "")

    @property
    def n_layers(self) -> int:
        return min(self.number("block_count"), MOST_LAYERS)

    def get(self, key: str) -> Value | None:
        return self._metadata.get(f"{self._prefix}.{key}")

    def number(self, key: str) -> int:
        """A count; of an array the largest element."""
        return max(self.per_layer(key, 1), default=0)

    def per_layer(self, key: str, n_layers: int) -> list[int]:
        """A count that may differ from layer to layer; empty if the header does not say."""
        value = self.get(key)
        if isinstance(value, GGUFArray):
            if value.length > MOST_LAYERS:
                return []
            return [max(0, item) for item in value.values() if isinstance(item, int)]
        return [value] * n_layers if isinstance(value, int) and value > 0 else []


def _kv_elements(header: _Header) -> int:
    if header.get("attention.causal") is False:
        return 0  # encoders keep nothing
    heads = header.number("attention.head_count")
    width = header.number("embedding_length") // heads if heads else 0
    key = header.number("attention.key_length") or width
    value = header.number("attention.value_length") or width
    kv_heads = header.per_layer("attention.head_count_kv", header.n_layers)
    if not kv_heads:
        kv_heads = header.per_layer("attention.head_count", header.n_layers)
    if every := header.number("full_attention_interval"):  # the layers between are recurrent
        kv_heads = kv_heads[every - 1 :: every]
    return sum(kv_heads) * (key + value)


def _state_bytes(header: _Header) -> int:
    inner = header.number("ssm.inner_size")
    state = header.number("ssm.state_size")
    groups = max(1, header.number("ssm.group_count"))
    kernel = header.number("ssm.conv_kernel")
    convolution = max(0, kernel - 1) * (inner + 2 * groups * state)
    return (inner * state + convolution) * header.n_layers * _STATE_BYTES
