"""Loading, facts, metadata, life times."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.native import steps, tiny

from pyollama import _native, errors
from pyollama._native import Context, LoadProgress, Model


def test_facts_of_a_loaded_model(model: Model) -> None:
    assert model.n_layer == 2
    assert (model.n_embd, model.n_head, model.n_head_kv) == (64, 4, 2)
    assert model.n_ctx_train == tiny.N_CTX_TRAIN
    assert model.n_vocab == 256 + 5 + len(tiny.SPECIALS)
    assert model.metadata["general.architecture"] == "llama"
    assert model.has_decoder
    assert not (model.has_encoder or model.is_recurrent or model.is_hybrid or model.n_swa)
    assert model.rope_type == "norm"
    assert model.chat_template() == tiny.CHAT_TEMPLATE
    assert model.chat_template("tool_use") is None


def test_progress_reaches_one(folder: Path) -> None:
    progress = LoadProgress()
    assert progress.value == 0.0
    with Model(folder / "llama.gguf", progress=progress):
        assert progress.value == 1.0


def test_a_cancelled_load_is_aborted(folder: Path) -> None:
    progress = LoadProgress()
    progress.cancel()
    with pytest.raises(errors.Aborted):
        Model(folder / "llama.gguf", use_mmap=False, progress=progress)


@pytest.mark.parametrize("use_mmap", [None, True, False])
def test_every_way_to_map_the_file(folder: Path, use_mmap: bool | None) -> None:
    with Model(folder / "llama.gguf", use_mmap=use_mmap, check_tensors=True) as model:
        assert model.size > 0


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelLoadError, match=r"nothing\.gguf: No such file"):
        Model(tmp_path / "nothing.gguf")


def test_a_path_with_nul_is_refused() -> None:
    with pytest.raises(errors.InvalidRequest, match="NUL"):
        Model("a\0b")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelLoadError):
        Model(tmp_path)


def test_any_cut_of_a_file_is_refused(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "llama.gguf").read_bytes()
    for size in [0, 3, 4, 24, *range(100, len(whole), len(whole) // 12)]:
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(whole[:size])
        with pytest.raises(errors.ModelLoadError):
            Model(cut)


def test_damaged_metadata_is_read_or_refused(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "llama.gguf").read_bytes()
    random = np.random.default_rng(1)
    path = tmp_path / "damaged.gguf"
    for round_ in range(150):
        data = bytearray(whole)
        for at in random.integers(0, 6000, 3):
            data[at] = random.choice([0, 1, 127, 255, int(random.integers(256))])
        path.write_bytes(data)
        with (
            contextlib.suppress(errors.PyollamaError),
            Model(path, vocab_only=round_ % 2 == 0) as model,
        ):
            model.detokenize(model.tokenize("the cat <|im_end|>", parse_special=True))
            assert isinstance(model.metadata, dict)


def test_an_assertion_while_loading_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "twice.gguf"
    tiny.llama_like(broken)
    data = broken.read_bytes()
    # one name for two tokens, which llama.cpp answers with an assertion
    broken.write_bytes(data.replace(b"<think>", b"<|end|>", 1))
    with pytest.raises(errors.ModelLoadError, match="GGML_ASSERT"):
        Model(broken, vocab_only=True)


def test_unknown_device_and_split_mode(folder: Path) -> None:
    with pytest.raises(errors.InvalidRequest, match="no device 'TPU7'"):
        Model(folder / "llama.gguf", devices=["TPU7"])
    with pytest.raises(errors.InvalidRequest, match="split_mode"):
        Model(folder / "llama.gguf", split_mode="diagonal")
    with pytest.raises(errors.InvalidRequest, match="tensor_split"):
        Model(folder / "llama.gguf", tensor_split=[-1.0])
    with Model(folder / "llama.gguf", devices=["CPU"], tensor_split=[1.0]):
        pass


def test_a_closed_model_says_so(folder: Path) -> None:
    model = Model(folder / "llama.gguf", vocab_only=True)
    model.close()
    model.close()
    assert model.closed
    for use in (lambda: model.n_vocab, lambda: model.tokenize("a"), lambda: Context(model)):
        with pytest.raises(errors.NativeError, match="closed"):
            use()


def test_vocab_only_cannot_be_run(folder: Path) -> None:
    with Model(folder / "llama.gguf", vocab_only=True) as model:
        assert model.tokenize("and").tolist() == [260]
        with pytest.raises(errors.InvalidRequest, match="vocab_only"):
            Context(model)
        with pytest.raises(errors.InvalidRequest, match="vocab_only"):
            model.adapter(folder / "lora.gguf")


def test_a_context_outlives_its_closed_model(folder: Path) -> None:
    model = Model(folder / "llama.gguf")
    context = Context(model, n_ctx=64)
    before = steps.last_logits(context, [1, 2, 3])
    model.close()
    del model
    gc.collect()
    context.clear()
    assert (steps.last_logits(context, [1, 2, 3]) == before).all()


def test_loading_and_closing_leaks_nothing(folder: Path) -> None:
    process = psutil.Process()

    def cycle(times: int) -> None:
        for _ in range(times):
            model = Model(folder / "llama.gguf")
            context = Context(model, n_ctx=64)
            sampler = _native.Sampler(model, temperature=0.0, grammar='root ::= "a"+')
            steps.feed(context, [1, 2, 3])
            context.sample([0], [sampler])
            template = _native.ChatTemplate(model)
            template.close()
            context.close()
            sampler.close()
            model.close()

    cycle(20)
    before = process.memory_info().rss
    cycle(100)
    assert process.memory_info().rss - before < 1 << 20


def test_one_model_from_many_threads(model: Model) -> None:
    expected = model.tokenize("the cat and the hat").tolist()
    wrong: list[list[int]] = []

    def work() -> None:
        for _ in range(200):
            got = model.tokenize("the cat and the hat").tolist()
            if got != expected:
                wrong.append(got)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_log_is_drained_once(folder: Path) -> None:
    _native.drain_log()
    with Model(folder / "llama.gguf"):
        pass
    lines = _native.drain_log()
    assert any("llama" in text for _, text in lines)
    assert {level for level, _ in lines} <= {logging.INFO, logging.WARNING, logging.ERROR}
    assert not any("\n" in text for _, text in lines)
    assert _native.drain_log() == []


def test_the_log_is_bounded_and_counts_what_it_lost(folder: Path) -> None:
    _native.drain_log()
    for _ in range(60):
        Model(folder / "llama.gguf", vocab_only=True).close()
    lines = _native.drain_log()
    assert len(lines) <= 2001
    assert lines[0][0] == logging.WARNING
    assert "dropped" in lines[0][1]


def test_a_higher_log_level_drops_the_rest(folder: Path) -> None:
    _native.set_log_level(logging.ERROR)
    try:
        _native.drain_log()
        Model(folder / "llama.gguf", vocab_only=True).close()
        assert _native.drain_log() == []
    finally:
        _native.set_log_level(logging.INFO)


def test_devices_and_build_facts() -> None:
    devices = _native.devices()
    assert any(device.kind == "cpu" and device.memory_total > 0 for device in devices)
    assert _native.system_info()
    assert _native.llama_version()
    assert _native.max_sequences() >= 64


def test_an_adapter_changes_the_logits_and_can_be_taken_off(folder: Path) -> None:
    with Model(folder / "llama.gguf") as model, Context(model, n_ctx=64) as context:
        plain = steps.last_logits(context, [1, 2, 3])
        adapter = model.adapter(folder / "lora.gguf")
        assert adapter.metadata["adapter.type"] == "lora"
        assert adapter.invocation_tokens == []
        context.set_adapters([(adapter, 1.0)])
        adapter.close()
        context.clear()
        adapted = steps.last_logits(context, [1, 2, 3])
        assert abs(adapted - plain).max() > 1e-3
        context.set_adapters([])
        context.clear()
        assert (steps.last_logits(context, [1, 2, 3]) == plain).all()


def test_an_adapter_of_another_model_is_refused(folder: Path, model: Model) -> None:
    with Model(folder / "llama.gguf") as other, Context(model, n_ctx=64) as context:
        adapter = other.adapter(folder / "lora.gguf")
        with pytest.raises(errors.InvalidRequest, match="another model"):
            context.set_adapters([(adapter, 1.0)])
        with pytest.raises(errors.ModelLoadError):
            other.adapter(folder / "llama.gguf")


def test_what_is_meant_is_no_warning(folder: Path) -> None:
    with Model(folder / "llama.gguf") as model:
        _native.drain_log()
        Context(model, n_ctx=4 * model.n_ctx_train, n_seq_max=4).close()
        assert [text for level, text in _native.drain_log() if level >= logging.WARNING] == []
