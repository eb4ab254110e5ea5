"""What travels between the server and the process that runs templates, as msgpack."""

from __future__ import annotations

import msgspec

from pyollama.errors import ErrorInfo


class Source(msgspec.Struct, frozen=True):
    """A template, and the texts of the tokens that begin and end one; no text is ChatML."""

    text: str | None = None
    bos: str = ""
    eos: str = ""


class Ask(msgspec.Struct, frozen=True):
    """Render a request, as JSON; an empty one asks only whether the template can be read."""

    id: int
    source: Source
    request: str


class Answer(msgspec.Struct, frozen=True):
    """What was rendered, or why not. ``final``: the process ends, and this request is to blame."""

    id: int
    rendered: str = ""
    error: ErrorInfo | None = None
    final: bool = False
