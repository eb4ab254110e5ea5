"""llama.cpp's own chain of samplers, from a library that ``make build`` puts beside the extension.

What the binding samples with is its own; this is the yardstick of it.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

LIBRARY = Path(__file__).parents[2] / "build" / "dev" / "src" / "native" / "libllama_chain.so"


class _Params(ctypes.Structure):
    _fields_: ClassVar = [
        ("temperature", ctypes.c_float),
        ("top_k", ctypes.c_int32),
        ("top_p", ctypes.c_float),
        ("min_p", ctypes.c_float),
        ("typical_p", ctypes.c_float),
        ("top_n_sigma", ctypes.c_float),
        ("xtc_probability", ctypes.c_float),
        ("xtc_threshold", ctypes.c_float),
        ("mirostat", ctypes.c_int32),
        ("mirostat_tau", ctypes.c_float),
        ("mirostat_eta", ctypes.c_float),
        ("repeat_last_n", ctypes.c_int32),
        ("repeat_penalty", ctypes.c_float),
        ("presence_penalty", ctypes.c_float),
        ("frequency_penalty", ctypes.c_float),
        ("dry_multiplier", ctypes.c_float),
        ("dry_base", ctypes.c_float),
        ("dry_allowed_length", ctypes.c_int32),
        ("dry_penalty_last_n", ctypes.c_int32),
        ("min_keep", ctypes.c_int32),
        ("seed", ctypes.c_uint32),
    ]


DEFAULTS: dict[str, float] = {
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "typical_p": 1.0,
    "top_n_sigma": -1.0,
    "xtc_probability": 0.0,
    "xtc_threshold": 0.1,
    "mirostat": 0,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.1,
    "repeat_last_n": 64,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "dry_multiplier": 0.0,
    "dry_base": 1.75,
    "dry_allowed_length": 2,
    "dry_penalty_last_n": 512,
    "min_keep": 0,
    "seed": 1,
}
"""Those of the binding's ``Sampler``."""


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(LIBRARY))
    library.chain_new.restype = ctypes.c_void_p
    library.chain_new.argtypes = [ctypes.POINTER(_Params), ctypes.c_int32]
    library.chain_free.argtypes = [ctypes.c_void_p]
    library.chain_accept.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.chain_sample.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    library.chain_sample.restype = ctypes.c_int32
    return library


class LlamaChain:
    """The parameters are called as those of the binding's ``Sampler``."""

    def __init__(self, n_vocab: int, **parameters: float) -> None:
        self._library = _library()
        self._n_vocab = n_vocab
        native = _Params(**(DEFAULTS | parameters))
        self._chain = self._library.chain_new(ctypes.byref(native), n_vocab)

    def __del__(self) -> None:
        self._library.chain_free(self._chain)

    def accept(self, tokens: Sequence[int]) -> None:
        for token in tokens:
            self._library.chain_accept(self._chain, token)

    def sample(self, logits: NDArray[np.float32]) -> int:
        """Choose out of one contiguous row, and accept the token."""
        assert logits.dtype == np.float32
        assert logits.shape == (self._n_vocab,)
        token: int = self._library.chain_sample(self._chain, logits.ctypes.data)
        return token
