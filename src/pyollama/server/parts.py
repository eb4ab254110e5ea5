"""Parts of answers that several dialects write alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyollama.types import JSON, Delta, Rendered, TokenLogprob


def joined(deltas: Iterable[Delta]) -> Delta:
    """All pieces of an answer as one."""
    pieces = list(deltas)
    return Delta(
        content="".join(piece.content for piece in pieces),
        thinking="".join(piece.thinking for piece in pieces),
        tool_calls=tuple(call for piece in pieces for call in piece.tool_calls),
        logprobs=tuple(entry for piece in pieces for entry in piece.logprobs),
    )


def logprob(entry: TokenLogprob) -> JSON:
    value: dict[str, Any] = {"token": entry.token, "logprob": entry.logprob}
    if entry.bytes:
        value["bytes"] = list(entry.bytes)
    if entry.top:
        value["top_logprobs"] = [logprob(other) for other in entry.top]
    return value


def debug_info(rendered: Rendered) -> JSON:
    info: JSON = {"rendered_template": rendered.prompt}
    if rendered.images:
        info["image_count"] = rendered.images
    return {"_debug_info": info}
