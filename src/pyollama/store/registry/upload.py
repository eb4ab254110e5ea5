"""Sending one blob to a registry, in parts, so that a failure costs a part and not the whole.

The protocol is that of OCI registries: a session is begun (``POST``), parts are added (``PATCH``),
and a digest closes it (``PUT``). A registry like Ollama's answers a ``PATCH`` with a redirect: then
the part goes straight to its object store, without credentials, and several go at the same time.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx

from pyollama.errors import (
    Aborted,
    AccessDenied,
    InvalidName,
    RegistryError,
    RegistryUnreachable,
)
from pyollama.store.manifest import Layer
from pyollama.store.name import Name
from pyollama.store.registry.address import joined
from pyollama.store.registry.patience import Patience, is_passing, retry_after
from pyollama.store.registry.session import MAX_TEXT, Session, closing
from pyollama.store.registry.upload_content import Content, Part, part_size

_PARALLEL = 8
_PATIENCE = Patience()
_RECEIVED = re.compile(r"(?:bytes=)?0-(\d{1,18})")


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


class _Redirected(Exception):
    """The registry wants a part at ``target``, and to be asked about the next one at ``place``."""

    def __init__(self, target: str, place: str) -> None:
        super().__init__(target)
        self.target = target
        self.place = place


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
        self._part = part or part_size(layer.size)
        self._confirmed = 0
        self._furthest = 0
        self._failures = 0
        self._broken = threading.Event()

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
                self._failures = self._wait(lost.error, self._failures)
            else:
                break

    # --- the session ----------------------------------------------------------------------------

    def _begin(self) -> str:
        """A new session; empty if the registry took the blob over from another repository."""
        url = httpx.URL(self._session.registry.uploads(self._name))
        if parent := self._parent():
            url = url.copy_merge_params({"mount": self._layer.digest, "from": parent})
        response, _ = self._session.fetch("POST", str(url), limit=MAX_TEXT)
        return "" if response.status_code == 201 else _place(response)

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
        except _Redirected as redirected:
            self._send_directly(redirected)
        else:
            self._commit(place, {})

    def _send_part(self, place: str) -> str:
        """Send what comes next, or find out what that is; the place for what follows."""
        part = self._part_at(self._confirmed)
        try:
            place = self._patch(place, part)
        except RegistryError as error:
            self._failures = self._wait(error, self._failures)
            place = self._standing(place, error)
        finally:
            self._content.done(part)
        if self._confirmed > self._furthest:
            self._furthest, self._failures = self._confirmed, 0
        return place

    def _patch(self, place: str, part: Part) -> str:
        start, end = part
        headers = {
            "content-type": "application/octet-stream",
            "content-length": str(end - start),
            "content-range": f"{start}-{end - 1}",
            "x-redirect-uploads": "1",
        }
        sending = self._session.send(
            "PATCH", place, headers=headers, content=lambda: self._pieces(part), follow=False
        )
        with closing(sending) as response:
            self._check(response)
            if response.status_code == 307:
                raise _Redirected(_target(response), _place(response))
            self._confirmed = min(_received(response) or end, end)
            return _place(response)

    def _standing(self, place: str, error: RegistryError) -> str:
        """Ask how much of the blob arrived; the place to go on from."""
        try:
            response, _ = self._session.fetch("GET", place, limit=MAX_TEXT)
        except AccessDenied:
            raise
        except RegistryError as refused:
            raise _Lost(error) from refused
        received = _received(response)
        if received is None or received > self._layer.size:
            raise _Lost(error)
        self._confirmed = received
        return _place(response)

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

    # --- straight to the object store -------------------------------------------------------------

    def _send_directly(self, first: _Redirected) -> None:
        """All parts from the beginning, each to where the registry wants it."""
        self._broken.clear()
        with ThreadPoolExecutor(_PARALLEL) as pool:
            running: list[Future[bytes]] = []
            redirected = first
            try:
                for start in range(0, self._layer.size, self._part):
                    part = self._part_at(start)
                    if start:
                        redirected = self._next_target(redirected.place, part)
                    running.append(pool.submit(self._put, redirected.target, part))
                sums = [each.result() for each in running]
            except BaseException:
                self._broken.set()
                raise
        whole = hashlib.md5(b"".join(sums), usedforsecurity=False).hexdigest()
        self._commit(redirected.place, {"etag": f"{whole}-{len(sums)}"})

    def _next_target(self, place: str, part: Part) -> _Redirected:
        failures = 0
        while True:
            try:
                self._patch(place, part)
            except _Redirected as redirected:
                return redirected
            except RegistryError as error:
                failures = self._wait(error, failures)
            else:
                raise RegistryError("the registry redirects some parts of a blob, but not all")
            finally:
                self._content.done(part)

    def _put(self, target: str, part: Part) -> bytes:
        """Send a part to its place; its MD5, which is what object stores know parts by."""
        failures = 0
        while True:
            try:
                return self._put_once(target, part)
            except RegistryError as error:
                failures = self._wait(error, failures)

    def _put_once(self, target: str, part: Part) -> bytes:
        start, end = part
        headers = {"content-type": "application/octet-stream", "content-length": str(end - start)}
        digest = hashlib.md5(usedforsecurity=False)

        def content() -> Iterator[bytes]:
            nonlocal digest
            digest = hashlib.md5(usedforsecurity=False)
            for piece in self._pieces(part):
                digest.update(piece)
                yield piece

        sending = self._session.send("PUT", target, headers=headers, content=content)
        with closing(sending) as response:
            self._check(response)
        return digest.digest()

    # --- what both have in common -----------------------------------------------------------------

    def _part_at(self, start: int) -> Part:
        return start, min(start + self._part, self._layer.size)

    def _pieces(self, part: Part) -> Iterator[bytes]:
        return self._content.pieces(part, self._check_stopped)

    def _check_stopped(self) -> None:
        self._session.check_stopped()
        if self._broken.is_set():
            raise Aborted("another part of the blob could not be sent")

    def _check(self, response: httpx.Response) -> None:
        """As :meth:`Session.check`, keeping what the registry says about trying again."""
        try:
            self._session.check(response)
        except RegistryError as error:
            error.details["retry_after"] = int(retry_after(response))
            raise

    def _wait(self, error: RegistryError, failures: int) -> int:
        """Pause after one more failure without progress, or raise it; how many there were."""
        failures += 1
        if not _may_pass(error):
            raise error
        if failures >= _PATIENCE.tries:
            message = f"max retries exceeded: {error.message}"
            raise type(error)(message, hint=error.hint, **error.details) from error
        asked = error.details.get("retry_after", 0)
        self._session.wait(_PATIENCE.pause(failures, float(asked)))
        return failures


def _place(response: httpx.Response) -> str:
    """Where the session goes on."""
    headers = response.headers
    return _joined(response, headers.get("docker-upload-location") or headers.get("location"))


def _target(response: httpx.Response) -> str:
    return _joined(response, response.headers.get("location"))


def _joined(response: httpx.Response, place: str | None) -> str:
    """``place``, which may be relative to what was asked."""
    if not place:
        raise RegistryError("the registry does not say where to upload to")
    try:
        return str(joined(response.request.url, place))
    except ValueError as error:
        raise RegistryError("the registry wants uploads at a place that is no address") from error


def _received(response: httpx.Response) -> int | None:
    """The bytes that a session has, by its ``Range`` header; ``None`` if it does not say.

    The header names the last byte, so that a single byte and none look the same: none is assumed.
    """
    found = _RECEIVED.fullmatch(response.headers.get("range", ""))
    if found is None:
        return None
    return int(found[1]) + 1 if int(found[1]) else 0


def _may_pass(error: RegistryError) -> bool:
    """Whether it may help to send the same again, in this session or in a new one."""
    if isinstance(error, RegistryUnreachable):
        return True
    status = int(error.details.get("status", 0))
    return is_passing(status) or status in (400, 404, 409, 416)
