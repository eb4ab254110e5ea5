"""As much of ``torch.Tensor`` as llama.cpp's converter uses, on numpy.

The converter loads, reshapes and adds up weights; it trains nothing. So it does with arrays, and
converting needs none of the gigabytes that PyTorch is. What is here gives the same numbers and the
same types as PyTorch; what is not here is an error that names it, never a guess.

The converter works out the shapes first, on tensors without content ("meta"). Here those are
arrays that repeat one zero in all directions (:func:`hollow`). No operation unrolls them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class DType:
    """A type of elements, printed as PyTorch prints it. ``storage`` is numpy's name of it."""

    def __init__(self, name: str, storage: Any) -> None:
        self.name = name
        self.storage: np.dtype[Any] = np.dtype(storage)
        self.itemsize = self.storage.itemsize
        self.is_floating_point = "float" in name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


DTYPES = {
    np.dtype(storage): DType(name, storage)
    for name, storage in (
        ("bool", np.bool_),
        ("uint8", np.uint8),
        ("uint16", np.uint16),
        ("uint32", np.uint32),
        ("uint64", np.uint64),
        ("int8", np.int8),
        ("int16", np.int16),
        ("int32", np.int32),
        ("int64", np.int64),
        ("float16", np.float16),
        ("float32", np.float32),
        ("float64", np.float64),
        ("bfloat16", ml_dtypes.bfloat16),
        ("float8_e4m3fn", ml_dtypes.float8_e4m3fn),
        ("float8_e5m2", ml_dtypes.float8_e5m2),
        ("float8_e8m0fnu", ml_dtypes.float8_e8m0fnu),
    )
}
_F32, _F64, _I64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)


class Size(tuple[int, ...]):
    """The shape of a tensor."""

    __slots__ = ()

    def numel(self) -> int:
        return math.prod(self)


def hollow(dtype: Any, shape: Sequence[int]) -> Array:
    """An array of zeros that takes the memory of one."""
    return np.broadcast_to(np.zeros((), dtype), tuple(shape))


def is_hollow(array: Array) -> bool:
    return array.size > 1 and not any(array.strides)


def is_foreign(value: Any) -> bool:
    """Whether ``value`` is a tensor of the converter's own, which has its say first."""
    return not isinstance(value, Tensor) and hasattr(type(value), "__torch_function__")


def _level(dtype: np.dtype[Any]) -> int:
    """The category of a type in PyTorch's rules: truth values, whole numbers, others."""
    return 0 if dtype.kind == "b" else 1 if dtype.kind in "iu" else 2


def _common(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """The type that holds the values of all, as PyTorch chooses it."""
    fractions = {dtype for dtype in dtypes if _level(dtype) == 2}
    if not fractions:
        return np.result_type(*dtypes)
    if len(fractions) == 1:
        return fractions.pop()
    return _F64 if _F64 in fractions else _F32  # that of two kinds of 16 bits too


def _operand_dtype(operands: Sequence[Any]) -> np.dtype[Any]:
    """The type that all operands get before they meet.

    Tensors with dimensions decide. One without counts only where its category is higher, and a
    number only where its is higher still.
    """
    arrays = [o.array for o in operands if isinstance(o, Tensor)]
    numbers = [np.asarray(o) for o in operands if not isinstance(o, Tensor)]
    groups = (
        [array.dtype for array in arrays if array.ndim],
        [array.dtype for array in arrays if not array.ndim],
        [_F32 if number.dtype == _F64 else number.dtype for number in numbers],
    )
    return max((_common(group) for group in groups if group), key=_level)


def elementwise(function: Callable[..., Any], *operands: Any) -> Tensor:
    """Apply a function of numpy to tensors and numbers, element by element."""
    dtype = _operand_dtype(operands)
    arrays = [o.array if isinstance(o, Tensor) else np.asarray(o, dtype) for o in operands]
    shape = None
    if any(is_hollow(array) for array in arrays):
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        arrays = [array[(slice(0, 1),) * array.ndim] for array in arrays]
    with np.errstate(all="ignore"):
        result = np.asarray(function(*(array.astype(dtype, copy=False) for array in arrays)))
    if result.dtype == _F64 and dtype != _F64:
        result = result.astype(_F32)  # what numpy makes of whole numbers, PyTorch makes smaller
    return Tensor(result if shape is None else hollow(result.dtype, shape))


def index_of(key: Any) -> Any:
    """What is between brackets, for numpy."""
    if isinstance(key, Tensor):
        return key.array
    if isinstance(key, tuple):
        return tuple(index_of(item) for item in key)
    return key


def _sizes(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes or places of dimensions, given one by one or as one sequence."""
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], Sequence) else args


def _ends(length: int, parts: int | Sequence[int]) -> Iterator[tuple[int, int]]:
    if isinstance(parts, int):
        sizes: Sequence[int] = [min(parts, length - at) for at in range(0, length, parts)]
    else:
        sizes = parts
        if sum(sizes) != length:
            raise RuntimeError(f"parts of {list(sizes)} do not add up to {length}")
    at = 0
    for size in sizes:
        yield at, at + size
        at += size


def _forward(function: Callable[..., Any]) -> Callable[[Tensor, Any], Any]:
    """An operator with the tensor on its left."""

    def operator(self: Tensor, other: Any) -> Any:
        return NotImplemented if is_foreign(other) else elementwise(function, self, other)

    return operator


def _backward(function: Callable[..., Any]) -> Callable[[Tensor, Any], Any]:
    def operator(self: Tensor, other: Any) -> Any:
        return NotImplemented if is_foreign(other) else elementwise(function, other, self)

    return operator


def _unary(function: Callable[..., Any]) -> Callable[[Tensor], Tensor]:
    return lambda self: elementwise(function, self)


class Tensor:
    """An array that answers like a tensor on the processor."""

    __hash__ = object.__hash__
    __array_ufunc__ = None  # numpy leaves operators to this class
    device = "cpu"

    def __init__(self, array: Any) -> None:
        self.array: Array = np.asarray(array)

    def __repr__(self) -> str:
        return f"tensor({self.array}, dtype={self.dtype})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotImplementedError(f"the tensor operation '{name}' is not supported")

    # --- facts ----------------------------------------------------------------------------------

    @property
    def dtype(self) -> DType:
        return DTYPES[self.array.dtype]

    @property
    def shape(self) -> Size:
        return Size(self.array.shape)

    @property
    def ndim(self) -> int:
        return self.array.ndim

    def dim(self) -> int:
        return self.array.ndim

    def numel(self) -> int:
        return self.array.size

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Tensor]:
        return (Tensor(item) for item in self.array)

    def item(self) -> Any:
        return self.array.item()

    def tolist(self) -> Any:
        return self.array.tolist()

    def numpy(self) -> Array:
        return self.array

    def __bool__(self) -> bool:
        return bool(self.array)

    def __float__(self) -> float:
        return float(self.array.item())

    def __int__(self) -> int:
        return int(self.array.item())

    def __index__(self) -> int:
        return self.array.__index__()

    # --- the same numbers in another type or place ----------------------------------------------

    def to(self, *args: Any, dtype: DType | None = None, **_: Any) -> Tensor:
        wanted = next((arg for arg in args if isinstance(arg, DType)), dtype)
        if wanted is None:  # a device, of which there is one
            return self
        if is_hollow(self.array):
            return Tensor(hollow(wanted.storage, self.shape))
        with np.errstate(all="ignore"):
            return Tensor(self.array.astype(wanted.storage, copy=False))

    def type(self, dtype: DType) -> Tensor:
        return self.to(dtype)

    def float(self) -> Tensor:
        return self.to(DTYPES[_F32])

    def contiguous(self) -> Tensor:
        return self if is_hollow(self.array) else Tensor(np.ascontiguousarray(self.array))

    def clone(self) -> Tensor:
        return self if is_hollow(self.array) else Tensor(self.array.copy())

    def cpu(self) -> Tensor:
        return self

    def copy_(self, source: Tensor) -> Tensor:
        self.array[...] = source.array
        return self

    # --- the same numbers in another shape ------------------------------------------------------

    def view(self, *args: Any) -> Tensor:
        if len(args) == 1 and isinstance(args[0], DType):
            return Tensor(_reread(self.array, args[0].storage))
        return self.reshape(*args)

    def reshape(self, *args: Any) -> Tensor:
        return Tensor(self.array.reshape(_sizes(args)))

    def reshape_as(self, other: Any) -> Tensor:
        return self.reshape(*other.shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        first, last = start_dim % self.ndim, end_dim % self.ndim
        return self.reshape(*self.shape[:first], -1, *self.shape[last + 1 :])

    def permute(self, *args: Any) -> Tensor:
        return Tensor(self.array.transpose(_sizes(args)))

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        return Tensor(self.array.swapaxes(dim0, dim1))

    swapaxes = transpose

    @property
    def T(self) -> Tensor:
        return Tensor(self.array.T)

    def t(self) -> Tensor:
        return self.T

    def squeeze(self, dim: int | None = None) -> Tensor:
        if dim is not None and self.shape[dim] != 1:
            return self
        return Tensor(self.array.squeeze(dim))

    def unsqueeze(self, dim: int) -> Tensor:
        return Tensor(np.expand_dims(self.array, dim))

    def expand(self, *args: Any) -> Tensor:
        sizes = _sizes(args)
        own = (*(1,) * (len(sizes) - self.ndim), *self.shape)
        shape = [mine if size == -1 else size for size, mine in zip(sizes, own, strict=True)]
        return Tensor(np.broadcast_to(self.array, shape))

    def split(self, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        lead = (slice(None),) * (dim % self.ndim)
        ends = _ends(self.shape[dim], split_size)
        return tuple(Tensor(self.array[(*lead, slice(begin, end))]) for begin, end in ends)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        return self.split(-(-self.shape[dim] // chunks), dim)

    def repeat_interleave(self, repeats: int, dim: int) -> Tensor:
        if is_hollow(self.array):
            shape = list(self.shape)
            shape[dim] *= repeats
            return Tensor(hollow(self.array.dtype, shape))
        return Tensor(np.repeat(self.array, repeats, dim))

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        return Tensor(np.take(self.array, index.array, dim))

    def __getitem__(self, key: Any) -> Tensor:
        return Tensor(self.array[index_of(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.array[index_of(key)] = value.array if isinstance(value, Tensor) else value

    def new_zeros(self, *args: Any) -> Tensor:
        return Tensor(np.zeros(_sizes(args), self.array.dtype))

    # --- other numbers --------------------------------------------------------------------------

    def _over(self, function: Callable[..., Any], dim: Any, keepdim: bool, dtype: Any) -> Tensor:
        axis = tuple(dim) if isinstance(dim, list) else dim
        result = function(self.array, axis=axis, keepdims=keepdim, dtype=dtype)
        return Tensor(np.asarray(result).astype(self.array.dtype if dtype is _F32 else dtype))

    def sum(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        whole = _level(self.array.dtype) < 2
        return self._over(np.sum, dim, keepdim, _I64 if whole else _wide(self.array.dtype))

    def mean(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return self._over(np.mean, dim, keepdim, _wide(self.array.dtype))

    def abs(self) -> Tensor:
        return elementwise(np.abs, self)

    def round(self) -> Tensor:
        return elementwise(np.round, self)

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        return elementwise(lambda a: np.clip(a, min, max).astype(a.dtype), self)

    def div_(self, other: Any) -> Tensor:
        return elementwise(np.true_divide, self, other)

    # --- operators: what changes a tensor in place in PyTorch makes another one here --------------

    __add__ = __iadd__ = _forward(np.add)
    __radd__ = _backward(np.add)
    __sub__ = __isub__ = _forward(np.subtract)
    __rsub__ = _backward(np.subtract)
    __mul__ = __imul__ = _forward(np.multiply)
    __rmul__ = _backward(np.multiply)
    __truediv__ = __itruediv__ = _forward(np.true_divide)
    __rtruediv__ = _backward(np.true_divide)
    __floordiv__ = __ifloordiv__ = _forward(np.floor_divide)
    __rfloordiv__ = _backward(np.floor_divide)
    __mod__ = __imod__ = _forward(np.mod)
    __rmod__ = _backward(np.mod)
    __pow__ = __ipow__ = _forward(np.power)
    __rpow__ = _backward(np.power)
    __and__ = __iand__ = _forward(np.bitwise_and)
    __rand__ = _backward(np.bitwise_and)
    __or__ = __ior__ = _forward(np.bitwise_or)
    __ror__ = _backward(np.bitwise_or)
    __xor__ = __ixor__ = _forward(np.bitwise_xor)
    __rxor__ = _backward(np.bitwise_xor)
    __lshift__ = __ilshift__ = _forward(np.left_shift)
    __rlshift__ = _backward(np.left_shift)
    __rshift__ = __irshift__ = _forward(np.right_shift)
    __rrshift__ = _backward(np.right_shift)
    __lt__ = _forward(np.less)
    __le__ = _forward(np.less_equal)
    __gt__ = _forward(np.greater)
    __ge__ = _forward(np.greater_equal)
    __eq__ = _forward(np.equal)
    __ne__ = _forward(np.not_equal)
    __neg__ = _unary(np.negative)
    __invert__ = _unary(np.invert)
    __abs__ = _unary(np.abs)

    def __matmul__(self, other: Any) -> Any:
        return NotImplemented if is_foreign(other) else self.matmul(other)

    def matmul(self, other: Tensor) -> Tensor:
        a, b = self.array, other.array
        if is_hollow(a) or is_hollow(b):
            a, b = (x[..., :1] if x is a else x[..., :1, :] for x in (a, b))
            shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
            return Tensor(hollow(np.result_type(a, b), shape))
        return Tensor(np.matmul(a, b))


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type that small floating-point numbers are added up in."""
    return _F64 if dtype == _F64 else _F32


def _reread(array: Array, dtype: np.dtype[Any]) -> Array:
    """The same bytes as elements of another type."""
    if not is_hollow(array):
        return array.view(dtype)
    last = array.shape[-1] * array.dtype.itemsize // dtype.itemsize
    return hollow(dtype, (*array.shape[:-1], last))
