"""Renderers by the names that models give in ``RENDERER``: functions from a turn to a prompt.

A new one is a module and a line here. Their wording of tools and rules is what each family was
trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyollama.chat.interface import Turn
from pyollama.chat.renderers import (
    cogito,
    cohere,
    deepseek3_1,
    functiongemma,
    gemma4,
    glimmer,
    glm,
    laguna,
    lfm2,
    nemotron,
    olmo3,
    qwen3_5,
    qwen3_coder,
    qwen3_vl,
)

Renderer = Callable[[Turn], str]

RENDERERS: Mapping[str, Renderer] = {
    "cogito": cogito.render,
    "cohere": cohere.render,
    "deepseek3.1": deepseek3_1.render,
    "functiongemma": functiongemma.render,
    "gemma4": gemma4.small,
    "gemma4-large": gemma4.large,
    "gemma4-small": gemma4.small,
    "glimmer": glimmer.render,
    "glm-4.7": glm.glm_4_7,
    "glm-ocr": glm.glm_ocr,
    "laguna": laguna.laguna,
    "lfm2": lfm2.instruct,
    "lfm2-thinking": lfm2.thinking,
    "nemotron-3-nano": nemotron.nano_3,
    "nemotron-3.5-nano": nemotron.nano_3_5,
    "olmo3": olmo3.render,
    "olmo3-32b-think": olmo3.think_32b,
    "olmo3-think": olmo3.think,
    "olmo3.1": olmo3.render_3_1,
    "ornith": qwen3_5.ornith,
    "poolside-v1": laguna.poolside,
    "qwen3-coder": qwen3_coder.render,
    "qwen3-vl-instruct": qwen3_vl.instruct,
    "qwen3-vl-thinking": qwen3_vl.thinking,
    "qwen3.5": qwen3_5.render,
    "qwen3.8": qwen3_5.qwen3_8,
}
