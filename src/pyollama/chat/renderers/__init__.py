"""Renderers by the names that models give in ``RENDERER``: functions from a turn to a prompt.

A new one is a module and a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyollama.chat.interface import Turn
from pyollama.chat.renderers import qwen3_coder

Renderer = Callable[[Turn], str]

RENDERERS: Mapping[str, Renderer] = {
    "qwen3-coder": qwen3_coder.render,
}
