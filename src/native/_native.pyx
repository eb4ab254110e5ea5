# cython: language_level=3, wraparound=False, nonecheck=True, show_performance_hints=False
"""The binding of llama.cpp; the stub beside the package documents it."""

# Three things happen here and nothing else: convert, release the GIL, map the error. A handle is
# copied into a local before the GIL goes, so that closing it elsewhere cannot pull it away.

import os
from typing import NamedTuple

import numpy as np

from pyollama import errors

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from libcpp cimport bool as cbool
from libcpp.map cimport map as cmap
from libcpp.memory cimport make_shared, shared_ptr
from libcpp.optional cimport optional
from libcpp.string cimport string
from libcpp.utility cimport move, pair
from libcpp.vector cimport vector

include "facade.pxi"
include "convert.pxi"
include "model.pxi"
include "sampler.pxi"
include "context.pxi"
include "chat.pxi"


class Device(NamedTuple):
    name: str
    description: str
    kind: str
    memory_free: int
    memory_total: int


def devices():
    cdef vector[NativeDevice] found
    with nogil:
        found = native_devices()
    return [
        Device(
            _text(device.name), _text(device.description), _text(device.kind),
            device.memory_free, device.memory_total,
        )
        for device in found
    ]


def system_info():
    return _text(native_system_info())


def llama_version():
    return _text(native_llama_version())


def supports_gpu_offload():
    return native_supports_gpu_offload()


def supports_mmap():
    return native_supports_mmap()


def supports_mlock():
    return native_supports_mlock()


def max_devices():
    return native_max_devices()


def max_sequences():
    return native_max_sequences()


def kernels():
    cdef const Kernels * const * available = available_kernels()
    names = []
    while available[0] != NULL:
        names.append((<bytes>available[0].name).decode())
        available += 1
    return names


def set_kernels(name):
    cdef string wanted = _utf8(name)
    if not use_kernels(wanted.c_str()):
        raise errors.InvalidRequest(
            f"this processor has no kernels named {name!r}, only {', '.join(kernels())}",
            field="name")


def quantize(
    src,
    dst,
    type,
    *,
    n_threads=0,
    allow_requantize=False,
    quantize_output=True,
    pure=False,
    output_type=None,
    embedding_type=None,
):
    cdef QuantizeParams params
    cdef string source = _path(src)
    cdef string target = _path(dst)
    params.type = _utf8(type)
    params.n_threads = _int("n_threads", n_threads)
    params.allow_requantize = allow_requantize
    params.quantize_output = quantize_output
    params.pure = pure
    params.output_type = _utf8(output_type or "")
    params.embedding_type = _utf8(embedding_type or "")
    with nogil:
        native_quantize(source, target, params)


def quantization_types():
    return _texts(native_quantization_types())


def drain_log():
    cdef vector[LogLine] lines = native_drain_log()
    return [(line.level, _text(line.text)) for line in lines]


def set_log_level(level):
    native_set_log_level(_int("level", level))


start_backends(_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib")))
