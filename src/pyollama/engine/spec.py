"""How one model is put into memory: every number decided, nothing left to guess."""

from __future__ import annotations

import msgspec


class LoadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine needs to load a model.

    ``n_ctx`` is the context of one request; the cache holds ``n_ctx * n_slots`` cells.
    ``n_gpu_layers`` < 0 means all, ``n_threads`` 0 as many as suit the model and the cores this
    process may use, and ``None`` leaves a switch to llama.cpp. ``type_k`` and ``type_v`` are ggml
    type names of the KV cache.
    """

    path: str
    adapters: tuple[str, ...] = ()
    n_ctx: int = 4096
    n_slots: int = 1
    n_batch: int = 2048
    n_ubatch: int = 512
    n_threads: int = 0
    n_threads_batch: int = 0
    n_gpu_layers: int = -1
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    use_mmap: bool | None = None
    embeddings: bool = False
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attn: bool | None = None
