from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyollama.engine.tiers.identity import file_identity, layout


def write(path: Path, data: bytes, time: int = 0) -> str:
    path.write_bytes(data)
    os.utime(path, ns=(time, time))
    return str(path)


def test_a_file_is_known_by_its_content_and_time(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000
    a = Path(write(tmp_path / "a", data))
    assert file_identity(a) == file_identity(Path(write(tmp_path / "b", data)))
    others = [data + b"x", data[:-1], b"x" + data[1:], data[:-1] + b"x", b"x", b""]
    found = {file_identity(Path(write(tmp_path / "c", other))) for other in others}
    found.add(file_identity(Path(write(tmp_path / "c", data, time=1))))
    assert len(found - {file_identity(a)}) == len(others) + 1


def test_the_name_of_a_blob_says_what_is_in_it(tmp_path: Path) -> None:
    name = "sha256-" + "0a" * 32
    first = file_identity(Path(write(tmp_path / name, b"x")))
    assert file_identity(Path(write(tmp_path / name, b"x", time=1))) == first
    assert file_identity(Path(write(tmp_path / name.replace("a", "b"), b"x"))) != first


def test_every_part_of_a_model_counts(tmp_path: Path) -> None:
    parts = [tmp_path / f"model-0000{n}-of-00002.gguf" for n in (1, 2)]
    for part in parts:
        write(part, b"x")
    first = layout([str(parts[0])], {})
    write(parts[1], b"y")
    assert layout([str(parts[0])], {}) != first


def test_everything_that_matters_is_in_the_key(tmp_path: Path) -> None:
    model, lora = write(tmp_path / "model", b"m"), write(tmp_path / "lora", b"l")
    facts: dict[str, str | int | bool] = {"type_k": "f16", "n": 1}
    keys = {
        layout([model], facts),
        layout([model, lora], facts),
        layout([lora, model], facts),
        layout([model], {**facts, "type_k": "q8_0"}),
        layout([model], {**facts, "n": 2}),
        layout([model], {"type_k": "f16"}),
    }
    assert len(keys) == 6
    assert layout([model], {"n": 1, "type_k": "f16"}) in keys


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nothing"):
        layout([str(tmp_path / "nothing")], {})
