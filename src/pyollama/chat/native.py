"""The only place of the text side that knows the native extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyollama.chat.format import OpenJinja
from pyollama.chat.jinja import JinjaTemplate

if TYPE_CHECKING:
    from pyollama._native import Model


def jinja_opener(model: Model) -> OpenJinja:
    """Opens templates against the vocabulary of ``model``."""
    from pyollama._native import ChatTemplate

    def open_jinja(source: str | None) -> JinjaTemplate:
        return ChatTemplate(model, source)

    return open_jinja
