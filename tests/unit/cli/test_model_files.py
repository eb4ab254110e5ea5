"""What of a folder is uploaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyollama.cli.model_files import model_files, parts_of
from pyollama.errors import PyollamaError

BESIDE = [
    *("1_Pooling/config.json", "chat_template.jinja", "config.json", "merges.txt"),
    *("tokenizer.json", "tokenizer.model", "vocab.txt"),
]
NEVER = ["README.md", "run.py", "optimizer.bin", "a/b/config.json", "notes.txt", ".git/config"]


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize(
    ("weights", "ignored"),
    [
        (["model-1.safetensors", "model-2.safetensors"], ["consolidated.safetensors", "x.gguf"]),
        (["2_Dense/model.safetensors", "model.safetensors"], ["pytorch_model.bin"]),
        (["adapter_model.safetensors"], ["x.gguf"]),
        (["consolidated.00.safetensors"], ["other.safetensors"]),
    ],
)
def test_safetensors_and_what_describes_them(
    tmp_path: Path, weights: list[str], ignored: list[str]
) -> None:
    fill(tmp_path, *weights, *ignored, *BESIDE, *NEVER)
    assert sorted(model_files(tmp_path)) == sorted([*weights, *BESIDE])


def test_gguf_files_need_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path, "b.gguf", "a.gguf", *BESIDE, *NEVER)
    assert list(model_files(tmp_path)) == ["a.gguf", "b.gguf"]


def test_links_within_the_folder_are_followed(tmp_path: Path) -> None:
    fill(tmp_path, "blobs/1234", "config.json")
    (tmp_path / "model.safetensors").symlink_to("blobs/1234")
    assert list(model_files(tmp_path)) == ["model.safetensors", "config.json"]
    (tmp_path / "tokenizer.json").symlink_to(tmp_path.parent / "elsewhere")
    fill(tmp_path.parent, "elsewhere")
    with pytest.raises(PyollamaError, match=r"insecure path: tokenizer\.json"):
        model_files(tmp_path)


def test_pytorch_files_are_named_and_refused(tmp_path: Path) -> None:
    fill(tmp_path, "pytorch_model-00001.bin", *BESIDE)
    with pytest.raises(PyollamaError, match="can contain programs"):
        model_files(tmp_path)


def test_parts_are_found_by_name(tmp_path: Path) -> None:
    names = [f"m-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    others = ["m-00001-of-00002.gguf", "n-00001-of-00003.gguf", "m.gguf", "m-1-of-3.gguf"]
    fill(tmp_path, *names, *others)
    assert [path.name for path in parts_of(tmp_path / names[2])] == names
    for name in others:
        assert parts_of(tmp_path / name) == [tmp_path / name]
