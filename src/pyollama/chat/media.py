"""Where images and audio stand in a prompt."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pyollama.types import Message

_PLACEHOLDER = "[img]"


def place_media(
    messages: Sequence[Message], gap: str = ""
) -> tuple[tuple[Message, ...], tuple[bytes, ...]]:
    """Messages whose text has a mark ``[img-N]`` for each of their files, and the files in order.

    A mark replaces a placeholder in the text, or is put in front of it; then ``gap`` separates the
    two if the text does not begin with white space.
    """
    placed: list[Message] = []
    files: list[bytes] = []
    for message in messages:
        content, prefix = message.content, ""
        for file in message.images:
            mark = f"[img-{len(files)}]"
            files.append(file)
            if _PLACEHOLDER in content:
                content = content.replace(_PLACEHOLDER, mark, 1)
            else:
                prefix += mark
        if prefix and gap and not content[:1].isspace():
            prefix += gap
        placed.append(msgspec.structs.replace(message, content=prefix + content))
    return tuple(placed), tuple(files)
