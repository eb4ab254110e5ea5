"""Tensors on numpy: the numbers and types that PyTorch documents."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from pyollama.convert import torchlike
from pyollama.convert.tensor import DTYPES, Tensor, hollow, is_hollow


@pytest.fixture(scope="module")
def torch() -> Iterator[ModuleType]:
    names = ("torch", "torch.nn", "torch.nn.functional")
    assert not set(names) & sys.modules.keys()
    torchlike.install()
    yield sys.modules["torch"]
    for name in names:
        del sys.modules[name]


def of(kind: str, *shape: int) -> Tensor:
    numbers = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    return Tensor(numbers.astype(getattr(ml_dtypes, kind, None) or kind))


RESULT_TYPES: list[tuple[Any, Any, str]] = [
    (of("float16", 2), 2.0, "float16"),
    (of("bfloat16", 2), 2.0, "bfloat16"),
    (of("bfloat16", 2), of("float16", 2), "float32"),
    (of("bfloat16", 2), of("float32", 2), "float32"),
    (of("float16", 2), of("float32"), "float16"),  # without dimensions: counts like a number
    (of("int8", 2), 1, "int8"),
    (of("int8", 2), of("int64"), "int8"),
    (of("int32", 2), 2.5, "float32"),
    (of("int32", 2), of("float16"), "float16"),
    (of("int64", 2), of("float32", 2), "float32"),
    (of("float64", 2), of("float32", 2), "float64"),
    (of("bool", 2), of("uint8", 2), "uint8"),
]


@pytest.mark.parametrize(("a", "b", "expected"), RESULT_TYPES)
def test_types_of_results(a: Tensor, b: Any, expected: str) -> None:
    assert str((a + b).dtype) == f"torch.{expected}"
    assert str((b * a).dtype) == f"torch.{expected}"
    empty = Tensor(hollow(a.array.dtype, (3, *a.shape)))
    result = empty + b
    assert (str(result.dtype), result.shape) == (f"torch.{expected}", (3, 2))
    assert is_hollow(result.array)


def test_whole_numbers_divide_into_fractions() -> None:
    found = of("int32", 4) / 2
    assert (str(found.dtype), found.tolist()) == ("torch.float32", [0.0, 0.5, 1.0, 1.5])


def test_comparisons_and_bits() -> None:
    x = of("uint8", 4)
    assert (x >= 2).tolist() == [False, False, True, True]
    assert ((x << 4) | (x & 1)).tolist() == [0, 17, 32, 49]
    assert (~(x == 1)).tolist() == [True, False, True, True]
    assert (-of("int8", 2)).tolist() == [0, -1]


HUGE = 1 << 22
EMPTY = Tensor(hollow("float16", (HUGE, 6, 4)))


@pytest.mark.parametrize(
    ("result", "shape"),
    [
        (EMPTY.reshape(HUGE // 2, 2, 24), (HUGE // 2, 2, 24)),
        (EMPTY.reshape(-1), (HUGE * 24,)),
        (EMPTY.permute(2, 0, 1).reshape(4, -1), (4, HUGE * 6)),
        (EMPTY.swapaxes(0, 2), (4, 6, HUGE)),
        (EMPTY.float(), (HUGE, 6, 4)),
        (EMPTY.contiguous().clone().T, (4, 6, HUGE)),
        (EMPTY[: HUGE // 2, ..., 1:], (HUGE // 2, 6, 3)),
        (EMPTY.unsqueeze(1).squeeze(1), (HUGE, 6, 4)),
        (EMPTY.repeat_interleave(2, 1), (HUGE, 12, 4)),
        (EMPTY.split(2, 1)[2], (HUGE, 2, 4)),
        (EMPTY.chunk(4, 1)[-1], (HUGE, 2, 4)),
        (EMPTY.flatten(1), (HUGE, 24)),
        (EMPTY.view(DTYPES[np.dtype("u1")]), (HUGE, 6, 8)),
        (torchlike.stack([EMPTY, EMPTY], 1), (HUGE, 2, 6, 4)),
        (torchlike.cat([EMPTY, EMPTY], -1), (HUGE, 6, 8)),
        (EMPTY @ EMPTY.transpose(1, 2), (HUGE, 6, 6)),
        (1 + EMPTY * EMPTY, (HUGE, 6, 4)),
    ],
)
def test_shapes_are_worked_out_without_memory(result: Tensor, shape: tuple[int, ...]) -> None:
    assert result.shape == shape
    assert is_hollow(result.array)


def test_the_same_operations_move_the_right_numbers() -> None:
    x = of("int64", 4, 6)
    assert x.reshape(2, 2, 6).swapaxes(0, 1).reshape(4, 6)[:, 0].tolist() == [0, 12, 6, 18]
    assert [part.shape for part in x.split([1, 5], dim=1)] == [(4, 1), (4, 5)]
    assert x.chunk(4, dim=1)[0].shape == (4, 2)
    assert x.sum(dim=0).tolist() == [36, 40, 44, 48, 52, 56]
    assert x.index_select(0, of("int64", 2))[1, 5].item() == 11
    assert of("float16", 3).mean().item() == 1.0
    assert str(of("bfloat16", 3).sum().dtype) == "torch.bfloat16"
    with pytest.raises(RuntimeError, match="do not add up"):
        x.split([1, 2], dim=1)


def test_bytes_are_read_anew(torch: ModuleType) -> None:
    raw = np.array([1.5, -2.0], ml_dtypes.bfloat16).view(np.uint8)
    assert torch.from_numpy(raw).view(torch.bfloat16).float().tolist() == [1.5, -2.0]


def test_functions(torch: ModuleType) -> None:
    assert torch.tensor([1, 2]).dtype == torch.int64
    assert torch.tensor([1.0]).dtype == torch.float32
    assert torch.tensor([torch.tensor(2.0), 3]).tolist() == [2.0, 3.0]
    assert torch.arange(0, 4, 2, dtype=torch.float32).tolist() == [0.0, 2.0]
    assert torch.equal(torch.ones(2), torch.full((2,), 1.0))
    assert torch.norm(torch.tensor([[3.0], [4.0]]), p=2, dim=0, keepdim=True).tolist() == [[5.0]]
    assert torch.exp(torch.zeros(2, dtype=torch.int32)).dtype == torch.float32
    assert torch.nn.functional.softplus(torch.tensor([0.0, 50.0])).tolist() == [
        pytest.approx(np.log(2)),
        50.0,
    ]
    normal = torch.distributions.normal.Normal(0, 1)
    assert normal.icdf(torch.tensor(0.975)).item() == pytest.approx(1.96, abs=1e-3)


def test_what_is_not_here_is_named(torch: ModuleType) -> None:
    with pytest.raises(NotImplementedError, match=r"'torch\.svd' is not supported"):
        torch.svd(torch.ones(2))
    with pytest.raises(NotImplementedError, match="'cumsum' is not supported"):
        torch.ones(2).cumsum(0)


def test_another_kind_of_tensor_has_its_say_first(torch: ModuleType) -> None:
    class Own:
        def __torch_function__(self, types: Any, args: Any, kwargs: Any) -> Any:
            return self, args

        def __radd__(self, other: Any) -> str:
            return "own"

    own = Own()
    assert torch.ones(2) + own == "own"
    seen: list[Any] = []
    Own.__torch_function__ = classmethod(  # type: ignore[method-assign,assignment]
        lambda cls, function, types, args, kwargs: seen.append((function, args))
    )
    torch.stack([own, own], 1)
    assert seen == [(torch.stack, ([own, own], 1))]
