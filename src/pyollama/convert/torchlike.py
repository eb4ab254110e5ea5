"""The module ``torch`` for llama.cpp's converter: functions on :class:`~.tensor.Tensor`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from statistics import NormalDist
from types import ModuleType, SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np

from pyollama.convert.tensor import (
    DTYPES,
    Array,
    DType,
    Size,
    Tensor,
    elementwise,
    hollow,
    is_hollow,
)


def install() -> None:
    """Let ``import torch`` find this from now on, in this process."""
    torch = _module("torch")
    torch.Tensor, torch.dtype, torch.Size = Tensor, DType, Size  # type: ignore[attr-defined]
    for dtype in DTYPES.values():
        setattr(torch, dtype.name, dtype)
    torch.long, torch.float = DTYPES[np.dtype("i8")], DTYPES[np.dtype("f4")]  # type: ignore[attr-defined]
    functions: dict[str, Callable[..., Any]] = {f.__name__: f for f in _FUNCTIONS}
    functions |= {"any": any_of, "all": all_of, "concat": cat}
    functions |= {name: _lifted(function) for name, function in _ELEMENTWISE.items()}
    for name, function in functions.items():
        setattr(torch, name, _dispatching(function))
    torch.inference_mode = _nothing  # type: ignore[attr-defined]
    torch.finfo = _finfo  # type: ignore[attr-defined]
    nn, functional = _module("torch.nn"), _module("torch.nn.functional")
    for layer in _LAYERS:
        setattr(functional, layer.__name__, _dispatching(layer))
    torch.nn, nn.functional = nn, functional  # type: ignore[attr-defined]
    torch.distributions = SimpleNamespace(normal=SimpleNamespace(Normal=Normal))  # type: ignore[attr-defined]


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _missing(f"{self.__name__}.{name}")


def _module(name: str) -> _Module:
    module = _Module(name)
    module.__spec__ = ModuleSpec(name, None)
    module.__path__ = []
    sys.modules[name] = module
    return module


def _missing(name: str) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise NotImplementedError(f"the operation '{name}' is not supported")

    return call


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _finfo(dtype: DType) -> Any:
    return ml_dtypes.finfo(dtype.storage)  # type: ignore[no-untyped-call]


def _dispatching(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hand the call to the first argument that is a kind of tensor of the converter's own."""

    def call(*args: Any, **kwargs: Any) -> Any:
        for arg in args:
            for item in arg if isinstance(arg, list | tuple) else (arg,):
                handler = getattr(type(item), "__torch_function__", None)
                if handler is not None:
                    return handler(call, (), args, kwargs)
        return function(*args, **kwargs)

    return call


def _lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *operands: elementwise(function, *operands)


# --- made of nothing ------------------------------------------------------------------------------


def empty(*sizes: Any, size: Any = None, dtype: DType | None = None, device: Any = None) -> Tensor:
    shape = _shape(sizes) if size is None else tuple(size)
    make = hollow if str(device) == "meta" else lambda storage, shape: np.zeros(shape, storage)
    return Tensor(make(_storage(dtype), shape))


def zeros(*sizes: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    return Tensor(np.zeros(_shape(sizes), _storage(dtype)))


def ones(*sizes: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    return Tensor(np.ones(_shape(sizes), _storage(dtype)))


def full(size: Sequence[int], fill: Any, dtype: DType | None = None) -> Tensor:
    return Tensor(np.full(tuple(size), fill, _storage(dtype)))


def zeros_like(tensor: Tensor) -> Tensor:
    return Tensor(
        hollow(tensor.array.dtype, tensor.shape)
        if is_hollow(tensor.array)
        else np.zeros(tensor.shape, tensor.array.dtype)
    )


def tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    array = np.array(_plain(data))
    if dtype is None and array.dtype == np.float64:
        return Tensor(array.astype(np.float32))
    return Tensor(array if dtype is None else array.astype(dtype.storage))


def arange(*limits: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    array = np.arange(*limits)
    if dtype is None and array.dtype == np.float64:
        return Tensor(array.astype(np.float32))
    return Tensor(array if dtype is None else array.astype(dtype.storage))


def from_numpy(array: Array) -> Tensor:
    return Tensor(array)


# --- put together and taken apart -----------------------------------------------------------------


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    arrays = [item.array for item in tensors]
    if any(is_hollow(array) for array in arrays):
        shape = list(arrays[0].shape)
        shape[dim] = sum(array.shape[dim] for array in arrays)
        return Tensor(hollow(np.result_type(*(array.dtype for array in arrays)), shape))
    return Tensor(np.concatenate(arrays, dim))


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    return cat([item.unsqueeze(dim) for item in tensors], dim)


def split(tensor: Tensor, parts: Any, dim: int = 0) -> tuple[Tensor, ...]:
    return tensor.split(parts, dim)


def reshape(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    return tensor.reshape(*shape)


def permute(tensor: Tensor, dims: Sequence[int]) -> Tensor:
    return tensor.permute(*dims)


def squeeze(tensor: Tensor, dim: int | None = None) -> Tensor:
    return tensor.squeeze(dim)


# --- looked at ------------------------------------------------------------------------------------


def equal(a: Tensor, b: Tensor) -> bool:
    return np.array_equal(a.array, b.array)


def any_of(tensor: Tensor) -> Tensor:
    return Tensor(tensor.array.any())


def all_of(tensor: Tensor, dim: int | None = None) -> Tensor:
    return Tensor(tensor.array.all(axis=dim))


def nonzero(tensor: Tensor, as_tuple: bool = False) -> Tensor:
    return Tensor(np.argwhere(tensor.array))


def sort(tensor: Tensor) -> Any:
    order = np.argsort(tensor.array, axis=-1, kind="stable")
    values = np.take_along_axis(tensor.array, order, -1)
    return SimpleNamespace(values=Tensor(values), indices=Tensor(order))


def norm(tensor: Tensor, p: int = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    if p != 2:
        raise NotImplementedError(f"the norm of order {p} is not supported")
    squares = elementwise(np.square, tensor.float()).sum(dim, keepdim)
    return elementwise(np.sqrt, squares).to(tensor.dtype)


# --- functions of torch.nn.functional, torch.distributions ----------------------------------------


def linear(tensor: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    result = tensor.matmul(weight.T)
    return result if bias is None else elementwise(np.add, result, bias)


def relu(tensor: Tensor) -> Tensor:
    return elementwise(lambda x: np.maximum(x, x.dtype.type(0)), tensor)


def silu(tensor: Tensor) -> Tensor:
    return elementwise(lambda x: (x / (1 + np.exp(-x))).astype(x.dtype), tensor)


def softplus(tensor: Tensor) -> Tensor:
    """As PyTorch's: the number itself above 20."""
    return elementwise(
        lambda x: np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, x.dtype.type(20))))), tensor
    )


class Normal:
    """The normal distribution of ``mean`` and ``deviation``."""

    def __init__(self, mean: float, deviation: float) -> None:
        self._normal = NormalDist(mean, deviation)

    def icdf(self, tensor: Tensor) -> Tensor:
        return Tensor(np.array(self._normal.inv_cdf(float(tensor)), tensor.array.dtype))


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "sin": np.sin,
    "cos": np.cos,
    "sqrt": np.sqrt,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_left_shift": np.left_shift,
    "bitwise_right_shift": np.right_shift,
}

_LAYERS: tuple[Callable[..., Any], ...] = (linear, relu, silu, softplus)

_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    *(empty, zeros, ones, full, zeros_like, tensor, arange, from_numpy),
    *(cat, stack, split, reshape, permute, squeeze, equal, nonzero, sort, norm),
)


def _storage(dtype: DType | None) -> np.dtype[Any]:
    return np.dtype(np.float32) if dtype is None else dtype.storage


def _shape(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], Sequence) else sizes


def _plain(data: Any) -> Any:
    """Numbers out of tensors in a nest of lists."""
    if isinstance(data, Tensor):
        return data.array
    return [_plain(item) for item in data] if isinstance(data, list | tuple) else data
