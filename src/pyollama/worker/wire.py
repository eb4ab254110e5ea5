"""What travels over the socket between the server and a worker.

A frame is the length of its body (4 bytes, little-endian) and the body: one message as msgpack. The
messages of each direction form one tagged union. All events of one engine step share a frame.
"""

from __future__ import annotations

import msgspec

from pyollama.engine.spec import LoadSpec
from pyollama.errors import EngineError, ErrorInfo
from pyollama.types import EmbedRequest, EngineEvent, EngineInfo, EngineStats, GenerateRequest

_HEADER = 4
MAX_FRAME = 1 << 30
"""Bytes of a body. A longer one can only mean that the stream is out of step."""


# --- to the worker ------------------------------------------------------------------------------


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Always the first message. Log lines below ``log_level`` are not sent back."""

    spec: LoadSpec
    log_level: int


class Submit(msgspec.Struct, frozen=True, tag="submit"):
    request: GenerateRequest


class Embed(msgspec.Struct, frozen=True, tag="embed"):
    request: EmbedRequest


class Abort(msgspec.Struct, frozen=True, tag="abort"):
    """Give a request up; one that has already ended is ignored."""

    id: str


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    serial: int


class Close(msgspec.Struct, frozen=True, tag="close"):
    """Free the model and exit; the end of the stream is the answer."""


ToWorker = Load | Submit | Embed | Abort | Ping | Close


# --- from the worker ----------------------------------------------------------------------------


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How much of the model is loaded, 0 to 1."""

    value: float


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    info: EngineInfo


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    error: ErrorInfo


class Events(msgspec.Struct, frozen=True, tag="events"):
    events: list[EngineEvent]


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """Answers the ping of the same serial; ``stats`` is ``None`` while the model loads."""

    serial: int
    stats: EngineStats | None


class Log(msgspec.Struct, frozen=True, tag="log"):
    """Lines of the native log, each with its level of ``logging``."""

    records: list[tuple[int, str]]


FromWorker = Progress | Ready | LoadFailed | Events | Pong | Log


# --- frames -------------------------------------------------------------------------------------


_encoder = msgspec.msgpack.Encoder()
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
UNREADABLE = (EngineError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a :class:`FrameReader` and the decoders raise for bytes that are no messages."""


def encode(message: ToWorker | FromWorker) -> bytearray:
    """A whole frame."""
    frame = bytearray(_HEADER)
    _encoder.encode_into(message, frame, _HEADER)
    frame[:_HEADER] = (len(frame) - _HEADER).to_bytes(_HEADER, "little")
    return frame


class FrameReader:
    """Cuts a byte stream into the bodies of its frames."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._rest = bytearray()
        self._max_frame = max_frame

    def feed(self, data: bytes | bytearray) -> list[bytes | bytearray]:
        """The bodies that ``data`` completes; the rest is kept for the next call."""
        if rest := self._rest:
            rest += data
            data = rest
        bodies = []
        start, end = 0, len(data)
        while end - start >= _HEADER:
            body = start + _HEADER
            size = int.from_bytes(data[start:body], "little")
            if size > self._max_frame:
                raise EngineError(f"a frame of {size} bytes exceeds {self._max_frame}")
            if end - body < size:
                break
            start = body + size
            bodies.append(data[body:start])
        if rest:
            del rest[:start]
        elif start < end:  # seldom: a frame is small, and its sender writes it in one go
            self._rest = bytearray(data[start:])
        return bodies
