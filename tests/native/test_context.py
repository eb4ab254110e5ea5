"""Decoding: equal however it is cut, and every wrong batch an error."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.native import steps

from pyollama import errors
from pyollama._native import Context, Model, Sampler

PROMPTS = {seq: list(range(seq + 1, seq + 6 + seq)) for seq in range(8)}
DECODERS = ["llama", "qwen2", "gemma3", "mamba"]
# Rounding in an f16 cache depends on how a batch is cut, and random weights leave narrow choices.
EXACT: dict[str, Any] = {"type_k": "f32", "type_v": "f32", "flash_attn": False, "n_threads": 2}


@pytest.mark.parametrize("name", DECODERS)
def test_a_batch_of_eight_equals_eight_alone(folder: Path, name: str) -> None:
    with Model(folder / f"{name}.gguf") as model:
        with Context(model, n_ctx=512, n_seq_max=8, **EXACT) as context:
            together = steps.greedy_batch(model, context, PROMPTS, 12)
        for seq, prompt in PROMPTS.items():
            with Context(model, n_ctx=256, **EXACT) as context:
                assert steps.greedy(context, prompt, 12) == together[seq]


@pytest.mark.parametrize("name", DECODERS)
def test_a_prompt_in_pieces_equals_the_whole(folder: Path, name: str) -> None:
    tokens = [(7 * i) % 250 for i in range(60)]
    with Model(folder / f"{name}.gguf") as model, Context(model, n_ctx=256, n_threads=1) as context:
        whole = steps.last_logits(context, tokens)
        context.clear()
        for start in range(0, 60, 13):
            piece = steps.last_logits(context, tokens[start : start + 13], start=start)
        np.testing.assert_allclose(piece, whole, atol=1e-3)


def test_logits_are_rows_of_the_outputs_in_batch_order(context: Context) -> None:
    rows = context.decode([1, 2, 3, 4], [0, 1, 2, 3], [0] * 4, [True, False, True, True])
    assert rows == context.n_outputs == 3
    everything = context.logits()
    assert everything.shape == (3, 265)
    assert everything.dtype == np.float32
    np.testing.assert_array_equal(context.logits([2, 0]), everything[[2, 0]])
    assert context.logits([]).shape == (0, 265)
    kept = everything.copy()
    steps.feed(context, [9], start=4)
    np.testing.assert_array_equal(everything, kept)  # a copy, not a window
    context.close()
    np.testing.assert_array_equal(everything, kept)


def test_a_batch_without_outputs_has_no_logits(context: Context) -> None:
    assert context.decode([1], [0], [0], [False]) == 0
    assert context.logits().shape == (0, 265)
    with pytest.raises(errors.InvalidRequest, match="no logits"):
        context.logits([0])


def test_arrays_of_other_integers_and_strides_are_taken(context: Context) -> None:
    tokens = np.arange(20, dtype=np.int64)[::2]
    assert context.decode(tokens, list(range(10)), np.zeros(10, np.uint8), [0] * 9 + [1]) == 1


Batch = tuple[Any, Any, Any, Any]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (([], [], [], []), "empty"),
        (([1, 2], [0], [0, 0], [0, 1]), "differ in length"),
        (([[1]], [0], [0], [1]), "one dimension"),
        (([265], [0], [0], [1]), "token 265 is outside"),
        (([-1], [0], [0], [1]), "token -1 is outside"),
        (([1], [-1], [0], [1]), "position -1 is negative"),
        (([1], [0], [4], [1]), "sequence 4 does not exist"),
        (([1], [0], [-1], [1]), "sequence -1 does not exist"),
        (([1, 1], [0, 2], [0, 0], [1, 1]), "position 2 where 1 is next"),
        (([1, 1], [1, 0], [0, 0], [1, 1]), "position 0 where 2 is next"),
        (([1] * 129, range(129), [0] * 129, [1] * 129), "129 tokens, n_batch is 128"),
        (([2**40], [0], [0], [1]), "outside of 32 bits"),
    ],
)
def test_wrong_batches_are_refused(context: Context, batch: Batch, message: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=message):
        context.decode(*batch)
    assert context.seq_pos_max(0) == -1
    assert steps.feed(context, [1]) == 1  # and the context still works


def test_a_gap_to_what_is_in_memory_is_refused(context: Context) -> None:
    steps.feed(context, [1, 2, 3])
    with pytest.raises(errors.InvalidRequest, match="sequence 0 has position 5 where 3 is next"):
        steps.feed(context, [4], start=5)
    assert steps.feed(context, [4], start=3) == 1


@pytest.mark.parametrize("values", [[0.5], ["a"], [None]])
def test_arrays_of_no_integers_are_refused(context: Context, values: Any) -> None:
    with pytest.raises(TypeError):
        context.decode(values, [0], [0], [1])


def test_a_full_cache_changes_nothing(model: Model) -> None:
    with Context(model, n_ctx=256, n_batch=256, n_seq_max=2) as context:
        steps.feed(context, [1] * 200, seq=0)
        with pytest.raises(errors.OutOfCells):
            steps.feed(context, [1] * 100, seq=1)
        assert (context.seq_pos_max(0), context.seq_pos_max(1)) == (199, -1)
        assert context.seq_rm(0)
        assert steps.feed(context, [1] * 100, seq=1) == 1


NO_MEMORY = """
import resource, sys
from pyollama import _native, errors
model = _native.Model(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for n_ctx in (1 << 24, 1 << 26, 1 << 30):
    try:
        _native.Context(model, n_ctx=n_ctx, n_threads=1)
    except errors.OutOfMemory:
        print("out of memory")
"""


@pytest.mark.skipif(
    sys.platform != "linux" or "asan" in os.environ.get("LD_PRELOAD", ""),
    reason="needs Linux's limit of the address space, under which AddressSanitizer cannot start",
)
def test_a_lack_of_memory_is_told_from_other_failures(folder: Path) -> None:
    command = [sys.executable, "-c", NO_MEMORY, str(folder / "llama.gguf")]
    run = subprocess.run(command, capture_output=True, check=False, text=True)
    assert run.stdout == "out of memory\n" * 3, run.stderr


def test_a_closed_context_says_so(context: Context) -> None:
    context.close()
    context.close()
    assert context.closed
    uses: list[Callable[[], object]] = [
        lambda: context.n_ctx,
        lambda: steps.feed(context, [1]),
        context.logits,
        context.abort,
        lambda: context.seq_rm(0),
    ]
    for use in uses:
        with pytest.raises(errors.NativeError, match="closed"):
            use()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_seq_max": 0}, "n_seq_max must be 1 to"),
        ({"n_seq_max": 10**6}, "n_seq_max must be 1 to"),
        ({"n_batch": 4, "n_seq_max": 8}, "n_batch at least n_seq_max"),
        ({"n_ubatch": 0}, "n_ubatch must be at least 1"),
        ({"n_ctx": 2**31 - 1}, "2\\*\\*30"),
        ({"n_ctx": -1}, "n_ctx must not be negative"),
        ({"n_ctx": 2**40}, "n_ctx is out of range"),
        ({"n_threads": -1}, "thread counts"),
        ({"n_threads": 10**6}, "thread counts"),
        ({"type_k": "q9_9"}, "type_k 'q9_9' is none of f32"),
        ({"type_v": "q8_0"}, "does not fit heads of 16"),
        ({"pooling": "best"}, "pooling 'best'"),
        ({"attention": "full"}, "attention 'full'"),
        ({"rope_scaling": "x"}, "rope_scaling 'x'"),
    ],
)
def test_wrong_parameters_are_refused(
    model: Model, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.InvalidRequest, match=message):
        Context(model, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_ctx": 1, "n_batch": 8, "n_seq_max": 8},
        {"n_ctx": 0},
        {"kv_unified": False, "n_seq_max": 3, "n_ctx": 300},
        {"flash_attn": True},
        {"flash_attn": False, "type_k": "f32", "type_v": "f32"},
        {"type_k": "bf16", "type_v": "bf16"},
        {"n_ubatch": 1},
        {"rope_scaling": "yarn", "rope_freq_scale": 0.5, "yarn_orig_ctx": 256},
        {"rope_freq_base": 5000.0, "n_threads": 1, "n_threads_batch": 2, "offload_kqv": False},
    ],
)
def test_unusual_parameters_work(model: Model, arguments: dict[str, Any]) -> None:
    with Context(model, **arguments) as context:
        assert np.isfinite(steps.last_logits(context, [1, 2, 3])).all()


def test_a_second_thread_is_turned_away(model: Model) -> None:
    context = Context(model, n_ctx=512, n_batch=512, n_ubatch=512, n_threads=1)
    refused: list[str] = []
    done = threading.Event()

    def intrude() -> None:
        while not done.is_set():
            try:
                context.seq_pos_max(0)
            except errors.NativeError as error:
                refused.append(error.message)
                return

    thread = threading.Thread(target=intrude)
    thread.start()
    deadline = time.monotonic() + 20
    while not refused and time.monotonic() < deadline:
        try:
            context.clear()
            steps.feed(context, [1] * 512)
        except errors.NativeError as error:
            refused.append(error.message)
    done.set()
    thread.join()
    context.close()
    assert "another thread" in refused[0]


def test_closing_while_another_thread_decodes_is_safe(model: Model) -> None:
    def work(context: Context, started: threading.Event) -> None:
        with contextlib.suppress(errors.NativeError):  # closed before the decode began
            started.set()
            steps.feed(context, [1] * 500)

    for pause in (0.0, 0.002, 0.004):
        context = Context(model, n_ctx=512, n_batch=512, n_threads=1)
        started = threading.Event()
        thread = threading.Thread(target=work, args=(context, started))
        thread.start()
        started.wait()
        time.sleep(pause)
        context.close()
        thread.join()


def test_abort_ends_decoding_until_it_is_cleared(context: Context) -> None:
    steps.feed(context, [1, 2])
    context.abort()
    with pytest.raises(errors.Aborted):
        steps.feed(context, [3], start=2)
    context.clear_abort()
    assert steps.feed(context, [3], start=2) == 1


def feed_for_ever(context: Context, size: int) -> None:
    while True:
        context.clear()
        steps.feed(context, [1] * size)


def test_abort_reaches_a_running_decode(model: Model) -> None:
    context = Context(model, n_ctx=4096, n_batch=4096, n_ubatch=64, n_threads=1)
    timer = threading.Timer(0.02, context.abort)
    timer.start()
    with pytest.raises(errors.Aborted):
        feed_for_ever(context, 4096)
    timer.join()
    context.clear_abort()
    context.clear()
    assert steps.feed(context, [1]) == 1
    context.close()


def test_threads_facts_and_timings(context: Context) -> None:
    context.set_threads(1, 2)
    assert (context.n_threads, context.n_threads_batch) == (1, 2)
    with pytest.raises(errors.InvalidRequest):
        context.set_threads(0, 1)
    assert (context.n_ctx, context.n_batch, context.n_ubatch, context.n_seq_max) == (
        512,
        128,
        64,
        4,
    )
    assert context.n_ctx_seq == 512
    assert context.causal
    context.reset_perf()
    steps.feed(context, [1, 2, 3])
    context.synchronize()
    steps.feed(context, [4], start=3)
    context.synchronize()
    perf = context.perf()
    assert (perf.prompt_tokens, perf.eval_tokens) == (3, 1)
    total = [sum(use.values()) for use in context.memory_breakdown().values()]
    assert sum(total) > 0


def test_pooling_of_every_kind(folder: Path) -> None:
    tokens = [2, 5, 6, 3]
    with Model(folder / "bert.gguf") as model:
        with Context(model, n_ctx=64, embeddings=True, pooling="none") as context:
            assert context.decode(tokens, range(4), [0] * 4, [0, 0, 0, 1]) == 4
            rows = context.embeddings()
            assert rows.shape == (4, model.n_embd_out)
            with pytest.raises(errors.InvalidRequest, match="no logits"):
                context.logits()
        expected = {"mean": rows.mean(axis=0), "cls": rows[0], "last": rows[-1]}
        for pooling, vector in expected.items():
            with Context(model, n_ctx=64, embeddings=True, pooling=pooling, n_seq_max=2) as context:
                context.encode(tokens * 2, [*range(4), *range(4)], [0] * 4 + [1] * 4, [1] * 8)
                assert context.pooling == pooling
                for seq in (0, 1):
                    np.testing.assert_allclose(context.sequence_embedding(seq), vector, atol=1e-4)
                with pytest.raises(errors.InvalidRequest, match="no token embeddings"):
                    context.embeddings([0])


def test_an_encoder_has_no_memory_and_no_logits(folder: Path) -> None:
    with (
        Model(folder / "bert.gguf") as model,
        Context(model, n_ctx=64, n_ubatch=8, embeddings=True) as context,
    ):
        assert not (context.has_memory or context.can_shift or context.supports_partial_removal)
        assert not context.causal
        assert context.seq_pos_max(0) == -1
        assert context.seq_rm(0)
        with pytest.raises(errors.InvalidRequest, match="n_ubatch is 8"):
            context.encode([2] * 9, range(9), [0] * 9, [1] * 9)
        context.encode([2, 5, 3], range(3), [0] * 3, [1] * 3)
        with pytest.raises(errors.InvalidRequest, match="no logits"):
            context.sample([0], [Sampler(model)])
        with pytest.raises(errors.InvalidRequest, match="keeps no state"):
            context.state_seq(0)
        context.set_embeddings(False)
        with pytest.raises(errors.InvalidRequest, match="no embedding of sequence 0"):
            context.sequence_embedding(0)


def test_a_decoder_looks_at_what_the_encoder_made(folder: Path) -> None:
    with Model(folder / "t5.gguf") as model, Context(model, n_ctx=64, n_ubatch=32) as context:
        assert model.has_encoder
        assert model.has_decoder
        start = [model.decoder_start_token]
        with pytest.raises(errors.InvalidRequest, match="needs the output of encode"):
            steps.feed(context, start)
        logits = []
        for text in ("the cat", "the hat", "the cat"):
            tokens = model.tokenize(text)
            size = len(tokens)
            rows = context.encode(tokens, np.arange(size), np.zeros(size, int), np.ones(size, int))
            assert rows == size
            with pytest.raises(errors.InvalidRequest, match="no logits"):
                context.logits([0])
            logits.append(steps.last_logits(context, start))
            context.clear()
        assert abs(logits[0] - logits[1]).max() > 1e-3
        np.testing.assert_allclose(logits[0], logits[2], atol=1e-4)


def test_embeddings_of_a_decoder(model: Model) -> None:
    with Context(model, n_ctx=64, embeddings=True, pooling="last") as context:
        with pytest.raises(errors.InvalidRequest):
            context.encode([1], [0], [0], [1])
        steps.feed(context, [1, 2, 3])
        assert context.sequence_embedding(0).shape == (64,)
        with pytest.raises(errors.InvalidRequest, match="sequence 1 does not exist"):
            context.sequence_embedding(1)


def test_non_causal_attention_needs_the_batch_at_once(model: Model) -> None:
    with Context(model, n_ctx=256, n_ubatch=8, attention="non-causal") as context:
        with pytest.raises(errors.InvalidRequest, match="n_ubatch is 8"):
            steps.feed(context, [1] * 9)
        context.set_causal(True)
        assert steps.feed(context, [1] * 9) == 1
