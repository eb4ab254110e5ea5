from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import ConfigError, OutOfMemory
from pyollama.runtime.devices import GPU, Hardware
from pyollama.runtime.facts import ModelFacts
from pyollama.runtime.fit import GIB, MIB, Placement, Policy, Wish, default_context, fit
from pyollama.types import LoadOptions

#: 8 B parameters at 4 bits; a token takes 128 KiB of cache in f16.
LLAMA = ModelFacts(
    size=5 * GIB,
    n_layers=32,
    n_ctx_train=131072,
    n_embd=4096,
    n_vocab=128256,
    kv_elements=32 * 8 * 256,
    state_bytes=0,
    embeddings=False,
)
BERT = ModelFacts(
    size=50 * MIB,
    n_layers=6,
    n_ctx_train=512,
    n_embd=384,
    n_vocab=30522,
    kv_elements=0,
    state_bytes=0,
    embeddings=True,
)


def machine(ram: float, *vram: float) -> Hardware:
    gpus = [
        GPU(i, f"GPU{i}", False, int(size * GIB), int(size * GIB)) for i, size in enumerate(vram)
    ]
    return Hardware(tuple(gpus), int(ram * GIB), int(ram * GIB))


def wish(n_ctx: int = 4096, automatic: bool = True, **options: int) -> Wish:
    return Wish("/m", (), n_ctx, automatic, msgspec.convert(options, LoadOptions))


# --- main memory --------------------------------------------------------------------------------


def test_a_roomy_machine_gives_eight_slots() -> None:
    placement = fit(LLAMA, wish(), Policy(), machine(64))
    spec = placement.spec
    assert (spec.n_ctx, spec.n_slots, spec.n_batch, spec.n_ubatch) == (4096, 8, 2048, 512)
    assert spec.n_gpu_layers == -1
    assert placement.vram == 0
    assert placement.ram > 5 * GIB + 8 * 4096 * 128 * 1024
    assert placement.mapped == 5 * GIB


def test_slots_take_at_most_a_quarter_of_what_is_left_unasked() -> None:
    slots = [fit(LLAMA, wish(), Policy(), machine(ram)).spec.n_slots for ram in (7, 10, 15, 30)]
    assert slots == [1, 2, 4, 8]


def test_slots_of_a_long_context_share_what_cells_there_are() -> None:
    """A cell takes 128 KiB, so 32768 of them 4 GiB."""
    long = wish(32768)
    placement = fit(LLAMA, long, Policy(), machine(14))
    assert (placement.spec.n_ctx, placement.spec.n_slots) == (32768, 8)
    assert placement.spec.cells == 32768 and placement.ram < 11 * GIB
    roomy = fit(LLAMA, long, Policy(), machine(50)).spec
    assert roomy.n_slots == 8 and 32768 < roomy.cells < 8 * 32768
    assert roomy.cells * 128 * 1024 < 0.25 * 45 * GIB
    assert fit(LLAMA, long, Policy(), machine(200)).spec.n_cells == 0
    asked = fit(LLAMA, long, Policy(num_parallel=4), machine(50)).spec
    assert (asked.n_slots, asked.cells) == (4, 4 * 32768)


def test_recurrent_states_count_for_every_sequence() -> None:
    hybrid = replace(LLAMA, state_bytes=64 * MIB)
    spec = fit(hybrid, wish(), Policy(), machine(64)).spec
    plain = fit(LLAMA, wish(), Policy(), machine(64))
    assert spec.n_slots == 8
    extra = fit(hybrid, wish(), Policy(), machine(64)).ram - plain.ram
    assert extra == 64 * MIB * spec.sequences(has_state=True)


def test_slots_that_are_asked_for_go_before_the_context_does() -> None:
    roomy = fit(LLAMA, wish(), Policy(num_parallel=6), machine(20)).spec
    assert (roomy.n_ctx, roomy.n_slots) == (4096, 6)
    tight = fit(LLAMA, wish(32768), Policy(num_parallel=6), machine(18)).spec
    assert (tight.n_ctx, tight.n_slots) == (32768, 2)


def test_an_automatic_context_shrinks() -> None:
    assert fit(LLAMA, wish(262144), Policy(), machine(12)).spec.n_ctx == 32768
    assert fit(LLAMA, wish(262144), Policy(), machine(8)).spec.n_ctx == 4096


def test_a_context_that_was_asked_for_does_not() -> None:
    with pytest.raises(
        OutOfMemory, match=r"context of 32768 tokens needs about 9\.\d GiB"
    ) as error:
        fit(LLAMA, wish(32768, automatic=False), Policy(), machine(8))
    assert int(error.value.details["needed"]) > int(error.value.details["free"])


def test_a_context_is_cut_to_the_trained_length() -> None:
    small = replace(LLAMA, n_ctx_train=2048)
    assert fit(small, wish(32768, automatic=False), Policy(), machine(64)).spec.n_ctx == 2048


def test_a_small_cache_type_makes_room() -> None:
    asked = wish(65536, automatic=False)
    with pytest.raises(OutOfMemory):
        fit(LLAMA, asked, Policy(), machine(11))
    assert fit(LLAMA, asked, Policy(kv_cache_type="q4_0"), machine(11)).spec.type_k == "q4_0"


def test_an_unknown_cache_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="OLLAMA_KV_CACHE_TYPE='f12'"):
        Policy(kv_cache_type="f12")


def test_models_that_are_loading_have_claimed_their_memory() -> None:
    first = fit(LLAMA, wish(), Policy(num_parallel=1), machine(8))
    with pytest.raises(OutOfMemory):
        fit(LLAMA, wish(), Policy(), machine(8), loading=[first])


def test_mapped_weights_are_not_free_although_the_system_says_so() -> None:
    first = fit(LLAMA, wish(), Policy(num_parallel=1), machine(8))
    with pytest.raises(OutOfMemory):
        fit(LLAMA, wish(), Policy(), machine(8), loaded=[first])
    fit(LLAMA, wish(), Policy(), machine(8), loaded=[replace(first, mapped=0)])


def test_embedding_models_take_whole_texts_into_one_batch() -> None:
    spec = fit(BERT, wish(), Policy(num_parallel=4), machine(4)).spec
    assert spec.embeddings
    assert (spec.n_ctx, spec.n_slots, spec.n_batch, spec.n_ubatch) == (512, 1, 512, 512)


def test_only_an_encoder_needs_room_for_its_whole_context_at_once() -> None:
    encoder = replace(BERT, n_ctx_train=8192)
    asked = wish(8192, automatic=False)
    need = fit(encoder, asked, Policy(), machine(64)).ram - encoder.size
    assert need >= 8192 * 8192 * 2
    decoder = replace(encoder, kv_elements=1)
    assert fit(decoder, asked, Policy(), machine(64)).ram - decoder.size < need / 3


def test_options_that_are_given_are_kept() -> None:
    asked = wish(num_batch=128, num_thread=3, use_mmap=False)
    placement = fit(LLAMA, asked, Policy(flash_attention=True), machine(64))
    spec = placement.spec
    assert (spec.n_batch, spec.n_ubatch) == (128, 128)
    assert (spec.n_threads, spec.n_threads_batch, spec.use_mmap) == (3, 3, False)
    assert spec.flash_attn is True
    assert placement.mapped == 0


# --- GPUs ---------------------------------------------------------------------------------------


def test_a_model_that_fits_goes_to_the_gpu_as_a_whole() -> None:
    placement = fit(LLAMA, wish(32768), Policy(), machine(4, 24))
    assert placement.spec.n_gpu_layers == -1
    assert placement.spec.tensor_split == ()
    assert placement.ram == 0
    assert 9 * GIB < placement.vram < 21 * GIB


def test_slots_and_context_go_before_layers_leave_the_gpu() -> None:
    spec = fit(LLAMA, wish(32768), Policy(), machine(64, 8)).spec
    assert (spec.n_gpu_layers, spec.n_ctx, spec.n_slots) == (-1, 4096, 1)


def test_a_model_too_large_for_the_gpu_is_split() -> None:
    placement = fit(LLAMA, wish(), Policy(), machine(64, 4))
    assert 5 < placement.spec.n_gpu_layers < 30
    assert 0 < placement.vram < 4 * GIB
    assert placement.ram > 2 * GIB


def test_a_model_is_not_split_while_others_could_make_room() -> None:
    other = fit(BERT, wish(), Policy(), machine(64, 4))
    with pytest.raises(OutOfMemory):
        fit(LLAMA, wish(), Policy(), machine(64, 4), loaded=[other])


def test_layers_that_are_asked_for_are_kept() -> None:
    assert fit(LLAMA, wish(num_gpu=7), Policy(), machine(64, 24)).spec.n_gpu_layers == 7
    none = fit(LLAMA, wish(num_gpu=0), Policy(), machine(64, 24))
    assert (none.spec.n_gpu_layers, none.vram) == (0, 0)


def test_one_of_several_gpus_is_enough() -> None:
    spec = fit(LLAMA, wish(), Policy(), machine(64, 12, 24, 16)).spec
    assert (spec.main_gpu, spec.tensor_split) == (1, (0.0, 1.0, 0.0))


def test_several_gpus_share_what_one_cannot_hold() -> None:
    assert fit(LLAMA, wish(), Policy(), machine(64, 5, 6)).spec.tensor_split == ()
    assert fit(LLAMA, wish(), Policy(spread=True), machine(64, 24, 24)).spec.tensor_split == ()


def test_the_gpu_that_is_asked_for_is_used() -> None:
    spec = fit(LLAMA, wish(main_gpu=0), Policy(), machine(64, 12, 24)).spec
    assert (spec.main_gpu, spec.tensor_split) == (0, (1.0, 0.0))


def test_an_integrated_gpu_takes_main_memory() -> None:
    shared = Hardware((GPU(0, "iGPU", True, 60 * GIB, 64 * GIB),), 8 * GIB, 64 * GIB)
    placement = fit(LLAMA, wish(), Policy(num_parallel=1), shared)
    assert placement.ram == placement.vram > 5 * GIB


@given(
    size=st.integers(1, 200 * GIB),
    kv=st.integers(0, 1 << 20),
    ram=st.integers(0, 256),
    vram=st.lists(st.integers(0, 200), max_size=3),
    n_ctx=st.integers(4, 300_000),
    parallel=st.integers(0, 16),
)
def test_what_is_promised_fits(
    size: int, kv: int, ram: int, vram: list[int], n_ctx: int, parallel: int
) -> None:
    facts = replace(LLAMA, size=size, kv_elements=kv)
    hardware = machine(ram, *vram)
    try:
        placement: Placement = fit(facts, wish(n_ctx), Policy(num_parallel=parallel), hardware)
    except OutOfMemory:
        return
    assert placement.ram <= ram * GIB
    assert placement.vram <= sum(vram) * GIB
    assert placement.ram + placement.vram >= size
    assert 1 <= placement.spec.n_slots <= 16
    assert placement.spec.n_ctx <= n_ctx


# --- defaults and reloads -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vram", "n_ctx"), [((), 4096), ((22,), 4096), ((24,), 32768), ((24, 24), 262144)]
)
def test_the_default_context_goes_by_gpu_memory(vram: tuple[float, ...], n_ctx: int) -> None:
    assert default_context(Policy(), machine(1000, *vram)) == n_ctx


def test_the_setting_beats_the_tier_and_the_overhead_lowers_it() -> None:
    assert default_context(Policy(context_length=777), machine(8, 80)) == 777
    assert default_context(Policy(gpu_overhead=2 * GIB), machine(8, 24)) == 4096


def test_what_is_loaded_meets_what_asks_for_no_more() -> None:
    loaded = wish(4096, num_gpu=5)

    def met(other: Wish, n_ctx_train: int = 131072) -> bool:
        return other.met_by(loaded, n_ctx=4096, n_ctx_train=n_ctx_train)

    assert met(wish(4096))
    assert met(wish(100, automatic=False))
    assert met(wish(8192)), "both automatic: memory had its say"
    assert not met(wish(8192, automatic=False))
    assert met(wish(8192, automatic=False), n_ctx_train=4096)
    assert met(wish(num_gpu=-1))
    assert not met(wish(num_gpu=6))
    assert not met(wish(use_mmap=False))


# --- prefixes outside the KV cache ----------------------------------------------------------------


def test_prefixes_get_a_part_of_what_the_model_leaves_free() -> None:
    hardware = machine(64)
    placement = fit(LLAMA, wish(), Policy(), hardware)
    left = int(64 * GIB * 0.9) - placement.ram
    assert placement.spec.prefix_ram == left // 8
    assert fit(LLAMA, wish(), Policy(), machine(1000)).spec.prefix_ram == 8 * GIB


def test_prefixes_get_what_the_settings_say() -> None:
    policy = Policy(prefix_ram=0, prefix_disk=5, prefix_dir="/p")
    spec = fit(LLAMA, wish(), policy, machine(64)).spec
    assert (spec.prefix_ram, spec.prefix_disk, spec.prefix_dir) == (0, 5, "/p")
    spec = fit(LLAMA, wish(), Policy(prefix_ram=123), machine(64)).spec
    assert (spec.prefix_ram, spec.prefix_disk) == (123, 0)


def test_embeddings_have_no_prefixes() -> None:
    policy = Policy(prefix_ram=GIB, prefix_disk=GIB)
    spec = fit(BERT, wish(), policy, machine(64)).spec
    assert (spec.prefix_ram, spec.prefix_disk) == (0, 0)
