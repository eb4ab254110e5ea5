"""The small model that ships with the package: ``Modelfile`` and the GGUF file it names."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def is_complete() -> bool:
    """Whether this installation has the model; a source tree may be without."""
    return all((FOLDER / name).is_file() for name in ("Modelfile", "model.gguf"))
