"""Which files of a folder make up a model: what is uploaded when a Modelfile names a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pyollama.errors import PyollamaError

_WEIGHTS = (
    ("model*.safetensors", "*/model*.safetensors"),
    ("adapter*.safetensors",),
    ("consolidated*.safetensors",),
    ("*.gguf",),
)
"""Kinds of weights, best first; the first one that is there is taken."""

_BESIDE = (
    "*.json",
    "*/*.json",
    "chat_template.jinja",
    "merges.txt",
    "tokenizer.model",
    "*/tokenizer.model",
    "vocab.txt",
)
"""What describes weights in safetensors format. A GGUF file describes itself."""

_PART = re.compile(r"(.+)-[0-9]{5}-of-([0-9]{5})\.gguf")
"""How llama.cpp names the parts of a split file."""

_PICKLED = ("pytorch_model*.bin", "consolidated*.pth", "adapter_model.bin")


def model_files(folder: Path) -> dict[str, Path]:
    """The files to upload by their paths below ``folder``, with ``/``; links are followed."""
    for patterns in _WEIGHTS:
        weights = sorted(_matching(folder, patterns))
        if weights:
            beside = [] if patterns == ("*.gguf",) else sorted(_matching(folder, _BESIDE))
            return {_name(path, folder): path for path in (*weights, *beside)}
    if any(_matching(folder, _PICKLED)):
        raise PyollamaError(
            f"{folder} holds PyTorch files, which can contain programs and are not read",
            hint="save the model in safetensors format and use that",
        )
    raise PyollamaError(
        "no Modelfile or safetensors files found",
        hint=f"there is no model*.safetensors and no *.gguf in {folder}",
    )


def parts_of(file: Path) -> list[Path]:
    """All parts of a model that ``file`` is one part of, by their names; or ``file`` alone."""
    found = _PART.fullmatch(file.name)
    if not found:
        return [file]
    same = (path for path in file.parent.iterdir() if path.is_file())
    parts = [
        path
        for path in same
        if (other := _PART.fullmatch(path.name)) and other.group(1, 2) == found.group(1, 2)
    ]
    return sorted(parts)


def _matching(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        for path in folder.glob(pattern):
            if path.is_file():
                yield _inside(path, folder)


def _inside(path: Path, folder: Path) -> Path:
    """``path``, unless it is a link to something that is not in the folder."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PyollamaError(
            f"insecure path: {path.relative_to(folder)}",
            hint="it is a link to a file outside of the folder. From Hugging Face's cache, make a"
            " copy with: hf download REPOSITORY --local-dir FOLDER",
        )
    return path


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
