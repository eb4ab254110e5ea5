from __future__ import annotations

from collections.abc import Mapping

from pyollama.runtime.facts import MOST_LAYERS, ModelFacts
from pyollama.store.gguf import GGUFArray, Scalar, Value


def array(*values: int) -> GGUFArray:
    return GGUFArray("int32", len(values), lambda: list(values))


def facts(**keys: Value) -> ModelFacts:
    metadata: Mapping[str, Value] = {
        "general.architecture": "x",
        "tokenizer.ggml.tokens": GGUFArray("string", 1000, list),
        **{f"x.{key.replace('__', '.')}": value for key, value in keys.items()},
    }
    return ModelFacts.read(metadata, 42)


def test_grouped_heads() -> None:
    found = facts(
        block_count=4,
        context_length=2048,
        embedding_length=64,
        attention__head_count=8,
        attention__head_count_kv=2,
    )
    assert found == ModelFacts(42, 4, 2048, 64, 1000, 4 * 2 * 16, 0, False)


def test_every_head_has_its_cache_where_groups_are_not_named() -> None:
    assert facts(block_count=3, embedding_length=64, attention__head_count=8).kv_elements == (
        3 * 8 * 16
    )


def test_head_widths_that_are_named() -> None:
    found = facts(
        block_count=2,
        embedding_length=64,
        attention__head_count=8,
        attention__head_count_kv=1,
        attention__key_length=576,
        attention__value_length=512,
    )
    assert found.kv_elements == 2 * (576 + 512)


def test_layers_that_differ() -> None:
    found = facts(
        block_count=3,
        embedding_length=64,
        attention__head_count=array(8, 0, 8),
        attention__head_count_kv=array(4, 0, 2),
    )
    assert found.kv_elements == 6 * 16


def test_recurrent_layers_keep_a_state_and_no_cache() -> None:
    found = facts(
        block_count=4,
        embedding_length=64,
        attention__head_count=8,
        attention__head_count_kv=2,
        full_attention_interval=4,
        ssm__inner_size=128,
        ssm__state_size=16,
        ssm__conv_kernel=4,
    )
    assert found.kv_elements == 2 * 16
    assert found.state_bytes == (128 * 16 + 3 * (128 + 32)) * 4 * 4


def test_encoders_keep_nothing() -> None:
    found = facts(
        block_count=4,
        embedding_length=64,
        attention__head_count=8,
        attention__causal=False,
        pooling_type=1,
    )
    assert (found.kv_elements, found.embeddings) == (0, True)


def test_a_header_that_says_nothing() -> None:
    assert ModelFacts.read({}, 7) == ModelFacts(7, 0, 0, 0, 0, 0, 0, False)


def test_a_header_that_lies_costs_nothing() -> None:
    found = facts(
        block_count=(1 << 64) - 1,
        embedding_length=64,
        attention__head_count=8,
        ssm__inner_size=1,
        ssm__state_size=1,
    )
    assert found.n_layers == MOST_LAYERS
    assert found.kv_elements == MOST_LAYERS * 8 * 16
    assert found.state_bytes == MOST_LAYERS * 4

    def never() -> list[Scalar]:
        raise AssertionError

    heads = GGUFArray("uint32", 1 << 22, never)
    assert facts(block_count=2, attention__head_count=heads).kv_elements == 0
