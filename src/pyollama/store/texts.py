"""The small layers of a model: template, system text, parameters, messages, licences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from pyollama.errors import InvalidManifest
from pyollama.store import manifest as media
from pyollama.store.blobs import Blobs
from pyollama.store.jsontext import check_depth
from pyollama.store.manifest import Layer
from pyollama.types import Message

MAX_TEXT = 16 << 20
"""The longest template, system text, licence or list of messages that is read, in bytes."""

_T = TypeVar("_T")


class Texts:
    """The small ones among ``layers``, read and decoded when asked for."""

    def __init__(self, layers: Iterable[Layer], blobs: Blobs) -> None:
        self._layers = tuple(layers)
        self._blobs = blobs

    def all(self, *media_types: str) -> tuple[str, ...]:
        return tuple(data.decode(errors="replace") for data in self._read(*media_types))

    def last(self, *media_types: str) -> str | None:
        return next(reversed(self.all(*media_types)), None)

    def params(self) -> dict[str, Any]:
        """The parameters of all layers together; what a later one says counts more."""
        merged: dict[str, Any] = {}
        for data in self._read(media.PARAMS):
            merged |= _decode(data, dict[str, Any], "parameters")
        return merged

    def messages(self) -> tuple[Message, ...]:
        stored = [_decode(data, list[_Stored], "messages") for data in self._read(media.MESSAGES)]
        last = stored[-1] if stored else []
        return tuple(Message(role=item.role, content=item.content) for item in last)

    def _read(self, *media_types: str) -> Iterator[bytes]:
        for layer in self._layers:
            if layer.media_type in media_types:
                yield self._blobs.read(layer.digest, MAX_TEXT)


class _Stored(msgspec.Struct):
    role: str = ""
    content: str = ""


def _decode(data: bytes, kind: type[_T], what: str) -> _T:
    try:
        value = msgspec.json.decode(data, type=kind)
        check_depth(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidManifest(f"the stored {what} are not valid: {error}") from error
    return value
