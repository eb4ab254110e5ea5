"""Quantised copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.native import steps, tiny

from pyollama import _native, errors
from pyollama._native import Context, Model
from pyollama.store.gguf_types import FILE_TYPES


@pytest.mark.parametrize(("kind", "similar"), [("Q8_0", 0.99), ("Q4_0", 0.95)])
def test_a_smaller_copy_says_nearly_the_same(
    folder: Path, tmp_path: Path, kind: str, similar: float
) -> None:
    """Three rows at once, so that the kernels for several rows run too (AMX, where there is it)."""
    source, target = folder / "llama.gguf", tmp_path / "small.gguf"
    _native.quantize(source, target, kind, n_threads=2)
    assert target.stat().st_size < 0.6 * source.stat().st_size
    logits = []
    for path in (source, target):
        with Model(path) as model, Context(model, n_ctx=64) as context:
            logits.append(steps.last_logits(context, [1, 2, 3]))
    before, after = logits
    cosine = (before @ after) / (np.linalg.norm(before) * np.linalg.norm(after))
    assert cosine > similar


def test_the_copy_knows_its_type(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "f16.gguf"
    _native.quantize(folder / "llama.gguf", target, "F16")
    with Model(target) as model:
        assert model.file_type == "F16"
    again = tmp_path / "again.gguf"
    _native.quantize(target, again, "Q4_0", pure=True, embedding_type="q8_0", output_type="f16")
    assert again.exists()


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with rows of 256 numbers, which the larger blocks need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "N_EMBD", 256)
        patch.setattr(tiny, "N_FF", 256)
        return tiny.llama_like(tmp_path_factory.mktemp("wide") / "wide.gguf")


@pytest.mark.parametrize("kind", _native.quantization_types())
def test_every_type_can_be_made_and_computed_with(wide: Path, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "small.gguf"
    _native.quantize(wide, target, kind, n_threads=2)
    logits = []
    for path in (wide, target):
        with Model(path) as model, Context(model, n_ctx=64) as context:
            logits.append(steps.last_logits(context, [1, 2, 3]))
    before, after = logits
    cosine = (before @ after) / (np.linalg.norm(before) * np.linalg.norm(after))
    assert cosine > (0.9 if kind[:2] in ("F3", "F1", "BF", "Q8", "Q6", "Q5", "Q4") else 0.1)


def test_every_name_is_known() -> None:
    names = set(_native.quantization_types())
    assert names == set(FILE_TYPES.values()) - {"NVFP4"}  # which is only ever converted to


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"type": "Q9"}, "no quantization type 'Q9'"),
        ({"type": "Q8_0", "output_type": "q9"}, "no tensor type 'q9'"),
    ],
)
def test_unknown_names(
    folder: Path, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.InvalidRequest, match=message):
        _native.quantize(folder / "llama.gguf", tmp_path / "x", **arguments)


def test_failures_leave_nothing_behind(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes((folder / "llama.gguf").read_bytes()[:5000])
    earlier = tmp_path / "earlier.gguf"
    earlier.write_bytes(b"kept")
    with pytest.raises(errors.NativeError, match="cannot quantize"):
        _native.quantize(broken, earlier, "Q8_0")
    assert earlier.read_bytes() == b"kept"
    with pytest.raises(errors.PyollamaError):
        _native.quantize(folder / "llama.gguf", tmp_path / "no" / "folder.gguf", "Q8_0")
    assert set(tmp_path.iterdir()) == {broken, earlier}
    with pytest.raises(errors.InvalidRequest, match="not a file"):
        _native.quantize(tmp_path / "nothing", tmp_path / "out.gguf", "Q8_0")
    with pytest.raises(errors.InvalidRequest, match="into itself"):
        _native.quantize(broken, broken, "Q8_0")
