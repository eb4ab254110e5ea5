"""Attention of ggml's processor backend by itself, from a library that ``make build`` makes."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

LIBRARY = Path(__file__).parents[2] / "build" / "dev" / "src" / "native" / "libattention_op.so"

Floats = NDArray[np.float32]
F32, F16, Q8_0, BF16 = 0, 1, 8, 30  # of ggml_type


class _Sizes(ctypes.Structure):
    _fields_: ClassVar = [
        *((name, ctypes.c_int64) for name in ("key_size", "value_size", "tokens", "cells")),
        *((name, ctypes.c_int64) for name in ("heads", "key_heads", "streams")),
        *((name, ctypes.c_int32) for name in ("cache_type", "threads", "repeats")),
    ]


@dataclass(frozen=True)
class Attention:
    """What is attended to. ``queries``: streams, heads, tokens, key size. ``keys`` and ``values``:
    streams, key heads, cells, size. ``mask``, added to the scores: streams, tokens, cells.
    ``sinks``: one score per head that takes weight and has no value. ``max_bias`` > 0 multiplies
    the mask by slopes (ALiBi), ``soft_cap`` > 0 bends scores towards that bound.
    """

    queries: Floats
    keys: Floats
    values: Floats
    mask: Floats | None = None
    sinks: Floats | None = None
    scale: float = 1.0
    soft_cap: float = 0.0
    max_bias: float = 0.0


class Computed(NamedTuple):
    output: Floats  # streams, tokens, heads, value size
    microseconds: float  # of the fastest repeat


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(LIBRARY))
    library.attend.restype = ctypes.c_double
    return library


@functools.cache
def use_own() -> None:
    """From now on in this process, pyollama's attention instead of ggml's."""
    _library().use_own_attention()


def attend(it: Attention, cache_type: int = F16, threads: int = 2, repeats: int = 1) -> Computed:
    n_streams, n_heads, n_tokens, key_size = it.queries.shape
    _, n_key_heads, n_cells, value_size = it.values.shape
    sizes = _Sizes(
        *(key_size, value_size, n_tokens, n_cells, n_heads, n_key_heads, n_streams),
        *(cache_type, threads, repeats),
    )
    out = np.zeros((n_streams, n_tokens, n_heads, value_size), np.float32)
    arrays = [
        np.ascontiguousarray(array, np.float32) if array is not None else None
        for array in (it.queries, it.keys, it.values, it.mask, it.sinks)
    ]
    pointers = [
        array.ctypes.data_as(ctypes.c_void_p) if array is not None else None for array in arrays
    ]
    took = _library().attend(
        ctypes.byref(sizes),
        *pointers,
        ctypes.c_float(it.scale),
        ctypes.c_float(it.soft_cap),
        ctypes.c_float(it.max_bias),
        out.ctypes.data_as(ctypes.c_void_p),
    )
    return Computed(out, took)
