"""Conversations as programs write them down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from pyollama.errors import InvalidRequest
from pyollama.types import Message

Messages = Sequence[Message | Mapping[str, object]]
"""Messages, or mappings with their fields, such as ``{"role": "user", "content": "Hello!"}``."""


def read_messages(messages: Messages) -> tuple[Message, ...]:
    return tuple(_read(message, index) for index, message in enumerate(messages))


def _read(message: Message | Mapping[str, object], index: int) -> Message:
    if isinstance(message, Message):
        return message
    unknown = message.keys() - set(Message.__struct_fields__)
    if unknown:
        raise InvalidRequest(
            f"messages[{index}]: unknown fields {', '.join(sorted(map(str, unknown)))}",
            hint=f"a message has {', '.join(Message.__struct_fields__)}",
            field="messages",
        )
    try:
        return msgspec.convert(message, Message)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"messages[{index}]: {error}", field="messages") from error
