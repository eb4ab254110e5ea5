"""Sending one blob to a registry, in parts, so that a failure costs a part and not the whole.

The protocol is that of OCI registries: a session is begun (``POST``), parts are added (``PATCH``),
and a digest closes it (``PUT``). A registry like Ollama's answers a ``PATCH`` with a redirect: then
the part goes straight to its object store, without credentials, and several go at the same time.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx

from pyollama.errors import AccessDenied, InvalidName, RegistryError
from pyollama.store.manifest import Layer
from pyollama.store.name import Name
from pyollama.store.registry.session import MAX_TEXT, Session
from pyollama.store.registry.upload_content import Content, Part, part_size
from pyollama.store.registry.upload_parts import PartSender, Redirected, place_of, received

_PARALLEL = 8


def is_there(session: Session, name: Name, digest: str) -> bool:
    """Whether the registry has a blob in the repository of ``name``."""
    try:
        session.fetch("HEAD", session.registry.blob(name, digest), limit=MAX_TEXT)
    except RegistryError as error:
        if error.details.get("status") == 404:
            return False
        raise
    return True


class _Lost(Exception):
    """The registry knows nothing of the session any more, or can do nothing with it."""

    def __init__(self, error: RegistryError) -> None:
        super().__init__(str(error))
        self.error = error


class Upload:
    """One blob, the file at ``path``, on its way into the repository of ``name``.

    ``part`` is how many bytes go in one request. :meth:`run` returns when the registry has all of
    it; :attr:`completed` can be read meanwhile by another thread.
    """

    def __init__(
        self, session: Session, name: Name, layer: Layer, path: Path, *, part: int = 0
    ) -> None:
        self._session = session
        self._name = name
        self._layer = layer
        self._content = Content(path, layer.digest, layer.size)
        self._sender = PartSender(session, self._content)
        self._part = part or part_size(layer.size)
        self._confirmed = 0
        self._furthest = 0
        self._failures = 0

    @property
    def completed(self) -> int:
        """Bytes that were sent; falls back where something has to be sent again."""
        return min(self._confirmed + self._content.flying, self._layer.size)

    def run(self) -> None:
        """Send the blob.

        Raises :class:`RegistryError` when patience ends, and :class:`DigestMismatch` when the file
        is not what it should be.
        """
        self._content.check_size()
        while place := self._begin():
            try:
                self._send(place)
            except _Lost as lost:
                self._failures = self._sender.wait(lost.error, self._failures)
            else:
                break

    # --- the session ----------------------------------------------------------------------------

    def _begin(self) -> str:
        """A new session; empty if the registry took the blob over from another repository."""
        url = httpx.URL(self._session.registry.uploads(self._name))
        if parent := self._parent():
            url = url.copy_merge_params({"mount": self._layer.digest, "from": parent})
        response, _ = self._session.fetch("POST", str(url), limit=MAX_TEXT)
        return "" if response.status_code == 201 else place_of(response)

    def _parent(self) -> str:
        """The repository on the same registry that the layer was taken from, if it is known."""
        with suppress(InvalidName):
            parent = Name.parse(self._layer.origin)
            if parent.host.lower() == self._name.host.lower():
                return f"{parent.namespace}/{parent.model}"
        return ""

    def _send(self, place: str) -> None:
        self._confirmed = 0
        self._content.restart()
        try:
            while self._confirmed < self._layer.size:
                place = self._send_part(place)
        except Redirected as redirected:
            self._send_directly(redirected)
        else:
            self._commit(place, {})

    def _send_part(self, place: str) -> str:
        """Send what comes next, or find out what that is; the place for what follows."""
        part = self._part_at(self._confirmed)
        try:
            place, confirmed = self._sender.add(place, part)
        except RegistryError as error:
            self._content.done(part)
            self._failures = self._sender.wait(error, self._failures)
            place, confirmed = self._standing(place, error)
        self._content.done(part)  # first, so that nothing counts twice
        self._confirmed = confirmed
        if self._confirmed > self._furthest:
            self._furthest, self._failures = self._confirmed, 0
        return place

    def _standing(self, place: str, error: RegistryError) -> tuple[str, int]:
        """Ask how much of the blob arrived: the place to go on from, and that many bytes."""
        try:
            response, _ = self._session.fetch("GET", place, limit=MAX_TEXT)
        except AccessDenied:
            raise
        except RegistryError as refused:
            raise _Lost(error) from refused
        there = received(response)
        if there is None or there > self._layer.size:
            raise _Lost(error)
        return place_of(response), there

    def _commit(self, place: str, sums: dict[str, str]) -> None:
        url = httpx.URL(place).copy_merge_params({"digest": self._layer.digest, **sums})
        try:
            self._session.fetch("PUT", str(url), limit=MAX_TEXT)
        except AccessDenied:
            raise
        except RegistryError as error:
            if is_there(self._session, self._name, self._layer.digest):
                return  # only the answer was lost
            self._content.check_all()
            raise _Lost(error) from error

    def _send_directly(self, first: Redirected) -> None:
        """All parts from the beginning, each to where the registry wants it."""
        self._sender.broken.clear()
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="push a part") as pool:
            running: list[Future[bytes]] = []
            redirected = first
            try:
                for start in range(0, self._layer.size, self._part):
                    part = self._part_at(start)
                    if start:
                        redirected = self._sender.target(redirected.place, part)
                    running.append(pool.submit(self._sender.put, redirected.target, part))
                sums = [each.result() for each in running]
            except BaseException:
                self._sender.broken.set()
                raise
        whole = hashlib.md5(b"".join(sums), usedforsecurity=False).hexdigest()
        self._commit(redirected.place, {"etag": f"{whole}-{len(sums)}"})

    def _part_at(self, start: int) -> Part:
        return start, min(start + self._part, self._layer.size)
