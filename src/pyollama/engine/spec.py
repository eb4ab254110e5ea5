"""How one model is put into memory: every number decided, nothing left to guess."""

from __future__ import annotations

import msgspec

SEQUENCES = 64
"""KV sequences where they cost nothing but the cells they hold."""

MOST_SEQUENCES = 255
"""llama.cpp's own limit, less the one that the backend keeps to itself."""


class LoadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine needs to load a model.

    ``n_ctx`` is the context of one request, ``n_slots`` how many may run. The cache has ``n_cells``
    cells (0: ``n_ctx * n_slots``) and ``n_sequences`` KV sequences; those that nobody runs in keep
    the prefixes of requests that are over (0: see :meth:`sequences`).
    ``n_gpu_layers`` < 0 means all, ``n_threads`` 0 as many as suit the model and the cores this
    process may use, and ``None`` leaves a switch to llama.cpp. ``draft_path`` is a smaller model
    with the same vocabulary, or empty. ``type_k`` and ``type_v`` are ggml
    type names of the KV cache. Prefixes that leave it may take ``prefix_ram`` bytes of memory, and
    together with those of all other models ``prefix_disk`` bytes in the folder ``prefix_dir``.
    """

    path: str
    adapters: tuple[str, ...] = ()
    draft_path: str = ""
    n_ctx: int = 4096
    n_slots: int = 1
    n_cells: int = 0
    n_sequences: int = 0
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
    prefix_ram: int = 0
    prefix_disk: int = 0
    prefix_dir: str = ""

    @property
    def cells(self) -> int:
        return self.n_cells or self.n_ctx * self.n_slots

    def sequences(self, *, has_state: bool) -> int:
        """KV sequences to have. ``has_state``: each takes a recurrent state of its own."""
        most = 2 * self.n_slots + 4 if has_state else max(SEQUENCES, 2 * self.n_slots)
        return max(min(self.n_sequences or most, MOST_SEQUENCES), self.n_slots)
