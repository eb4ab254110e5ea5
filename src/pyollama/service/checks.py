"""Whether a model can do what a request asks of it; the words are Ollama's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pyollama.errors import UnsupportedCapability
from pyollama.store.model import StoredModel
from pyollama.types import GenerationOptions, Message

Task = Literal["chat", "generate"]


def check_task(task: Task, name: str, capabilities: Collection[str]) -> None:
    """Embedding models cannot write."""
    if "completion" not in capabilities:
        raise UnsupportedCapability(f'"{name}" does not support {task}', model=name)


def check_wanted(
    model: StoredModel, capabilities: Collection[str], wanted: Collection[str]
) -> None:
    """All of ``wanted`` at once, so that a caller learns everything that is missing."""
    missing = [capability for capability in wanted if capability not in capabilities]
    if missing:
        raise UnsupportedCapability(
            f"{model.name} does not support {chr(10).join(missing)}", model=model.name.short
        )


def think_value(
    name: str, request: GenerationOptions, capabilities: Collection[str]
) -> bool | str | None:
    """Thinking is on unless it is switched off, where a model can think at all."""
    if "thinking" in capabilities:
        return True if request.think is None else request.think
    if request.think:
        raise UnsupportedCapability(f'"{name}" does not support thinking', model=name)
    return request.think


def check_media(model: StoredModel, messages: Collection[Message]) -> None:
    if any(message.images for message in messages):
        raise UnsupportedCapability(
            f"{model.name.short} cannot read images or audio", model=model.name.short
        )
