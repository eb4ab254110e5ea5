"""Files made to do harm end in an InvalidGGUF that names what is wrong, and cost nothing."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from tests.unit.store.hostile_gguf import Hostile, hostile_files

from pyollama.errors import InvalidGGUF
from pyollama.store.gguf import read_gguf

FILES = list(hostile_files())
MEMORY = 64 << 20


def test_there_is_one_file_for_each_class() -> None:
    assert len({file.name for file in FILES}) == len(FILES) >= 40
    assert len({file.data for file in FILES}) == len(FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_hostile_files_are_refused(tmp_path: Path, file: Hostile) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(file.data)
    with path.open("r+b") as opened:
        opened.truncate(len(file.data) + file.padding)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidGGUF) as caught:
            read_gguf(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert file.message in str(caught.value)
    assert len(str(caught.value)) < 500
    assert peak < MEMORY
