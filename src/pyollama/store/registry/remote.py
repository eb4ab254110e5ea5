"""A model as it lies somewhere else: what has to be fetched, in pieces, and what comes of it."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import Protocol

import httpx

from pyollama.errors import InvalidManifest, NotSupported, RegistryError
from pyollama.store.blobs import Pins
from pyollama.store.manifest import MANIFEST_TYPE, MAX_BYTES, Layer, Manifest, parse_manifest
from pyollama.store.name import Name
from pyollama.store.registry.address import origin_of
from pyollama.store.registry.session import Session
from pyollama.types import Progress

MAX_LAYERS = 20_000
_TENSOR = "application/vnd.ollama.image.tensor"
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_MANIFEST_TYPES = f"{MANIFEST_TYPE}, application/vnd.oci.image.manifest.v1+json"


class RemoteBlob(Protocol):
    """A blob that can be fetched in pieces, from several threads."""

    def open(self, start: int, stop: int) -> httpx.Response:
        """The answer to the wish for the bytes from ``start`` up to ``stop``, of any status.

        Raises as :meth:`Session.send` does.
        """
        ...

    def forget(self) -> None:
        """An answer was no good: whatever is known about where the blob lies may be outdated."""
        ...


class Remote(Protocol):
    """A model to pull. All requests go through ``session``.

    ``room`` is how many bytes are needed on disk besides what is fetched, and ``leftovers`` what
    has no use any more once the manifest is written.
    """

    @property
    def session(self) -> Session: ...

    @property
    def room(self) -> int: ...

    @property
    def leftovers(self) -> frozenset[str]: ...

    def layers(self) -> Sequence[Layer]:
        """What to fetch, in this order; :class:`RegistryError` if the model cannot be had."""
        ...

    def blob(self, digest: str) -> RemoteBlob: ...

    def manifest(self, pins: Pins) -> Generator[Progress, None, bytes]:
        """The manifest to store, now that all layers are there."""
        ...


class RegistryModel:
    """The model ``name`` in the registry that ``session`` talks to."""

    room = 0
    leftovers: frozenset[str] = frozenset()

    def __init__(self, session: Session, name: Name) -> None:
        self.session = session
        self._name = name
        self._data = b""

    def layers(self) -> Sequence[Layer]:
        self._data = self.fetch_manifest()
        manifest = _checked(self._data)
        return tuple({layer.digest: layer for layer in manifest.blobs}.values())

    def blob(self, digest: str) -> RemoteBlob:
        return RedirectedBlob(self.session, self.session.registry.blob(self._name, digest))

    def manifest(self, pins: Pins) -> Generator[Progress, None, bytes]:
        yield from ()
        return self._data  # byte for byte

    def fetch_manifest(self) -> bytes:
        """The manifest as the registry has it."""
        url = self.session.registry.manifest(self._name)
        headers = {"accept": _MANIFEST_TYPES}
        return self.session.fetch("GET", url, limit=MAX_BYTES, headers=headers)[1]


def _checked(data: bytes) -> Manifest:
    """The manifest in ``data``, if it is one of a model that can be used here."""
    try:
        manifest = parse_manifest(data)
    except InvalidManifest as error:
        raise InvalidManifest(f"pull model manifest: {error.message}") from error
    if len(manifest.layers) > MAX_LAYERS:
        raise InvalidManifest(f"pull model manifest: more than {MAX_LAYERS} layers")
    if manifest.of_type(_TENSOR):
        raise NotSupported("this model requires MLX support, but the MLX runtime is not available")
    return manifest


class RedirectedBlob:
    """A blob at a URL of a registry, which may lead to another place.

    That place is remembered, so that not every piece has to ask for the way again.
    """

    def __init__(self, session: Session, url: str) -> None:
        self._session = session
        self._url = url
        self._place: httpx.URL | None = None

    def open(self, start: int, stop: int) -> httpx.Response:
        headers = {"range": f"bytes={start}-{stop - 1}", "want-content-digest": "sha-256=10"}
        response = self._session.send("GET", self._place or self._url, headers=headers)
        place = response.request.url
        if response.status_code < 400 and origin_of(place) != self._session.registry.origin:
            self._place = place
        return response

    def forget(self) -> None:
        self._place = None


def check_range(response: httpx.Response, start: int, stop: int, total: int) -> None:
    """Raise :class:`RegistryError` unless the answer is what was asked for of a blob.

    That is 206 with exactly these bytes, or 200 with the whole blob. Bytes beyond ``stop`` are none
    of our business, fewer are fine: they are asked for again.
    """
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise RegistryError("the registry packs the blob although it was asked not to")
    if response.status_code == 200:
        length = response.headers.get("content-length", str(total))
        if length != str(total):
            raise RegistryError(f"the blob has {length[:20]} bytes instead of {total}")
        return
    if response.status_code != 206:
        raise RegistryError(f"unexpected status {response.status_code} instead of a part")
    place = response.headers.get("content-range", "")
    found = _RANGE.fullmatch(place)
    if not found:
        raise RegistryError("a part of the blob does not say where it belongs")
    if found[3] not in ("*", str(total)):
        raise RegistryError(f"the blob has {found[3]} bytes instead of {total}")
    if int(found[1]) != start or not start <= int(found[2]) < total:
        raise RegistryError(f"asked for bytes {start}-{stop - 1}, got {place}")
