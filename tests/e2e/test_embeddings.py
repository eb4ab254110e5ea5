"""Embeddings out of real models: any pooling, any length, any company."""

from __future__ import annotations

from pathlib import Path

from tests.native import tiny

from pyollama import _native
from pyollama.engine.native_backend import NativeBackend
from pyollama.engine.spec import LoadSpec


def test_what_the_processor_computes_takes_no_memory_of_a_gpu(tmp_path: Path) -> None:
    """Also where weights are rearranged for special instructions, such as those of AMX."""
    plain, small = tiny.llama_like(tmp_path / "plain.gguf"), tmp_path / "small.gguf"
    _native.quantize(plain, small, "Q8_0", n_threads=2)
    backend = NativeBackend(LoadSpec(path=str(small), n_ctx=64, n_gpu_layers=0, n_threads=2))
    try:
        assert backend.info.size > 0
        assert backend.info.size_vram == 0
    finally:
        backend.close()
