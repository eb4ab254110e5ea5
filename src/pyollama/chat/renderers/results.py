"""Which tool a result is from."""

from __future__ import annotations

from collections.abc import Sequence

from pyollama.types import Message


def tool_name(message: Message, messages: Sequence[Message]) -> str:
    """The name it gives, or that of the call it answers; empty if neither is known."""
    calls = (call for each in reversed(messages) for call in each.tool_calls)
    called = (call.name for call in calls if call.id and call.id == message.tool_call_id)
    return message.tool_name or next(called, "")
