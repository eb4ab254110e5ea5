"""What the process that converts is asked, and what it answers."""

from __future__ import annotations

import msgspec


class Conversion(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Convert ``folder`` to ``target``; ``scripts`` is where llama.cpp's converter lies.

    ``kind`` is "model", "projector" or "adapter", and ``base`` the folder with the configuration
    of the model that an adapter is for. ``outtype`` is an argument of the converter. Neither a
    file nor the memory may become larger than ``max_bytes``.
    """

    scripts: str
    folder: str
    target: str
    kind: str
    outtype: str
    max_bytes: int
    base: str = ""


class Quantization(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Write the weights of ``source`` to ``target`` in the type ``file_type``."""

    source: str
    target: str
    file_type: str
    max_bytes: int


Job = Conversion | Quantization


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """``error`` is empty when it worked; ``has_projector`` says that images have a part too."""

    error: str = ""
    hint: str = ""
    has_projector: bool = False
