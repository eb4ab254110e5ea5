"""The requests that carry parts of a blob to a registry or its object store."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator

import httpx

from pyollama.errors import Aborted, RegistryError, RegistryUnreachable
from pyollama.store.registry.address import joined
from pyollama.store.registry.patience import Patience, is_passing, retry_after
from pyollama.store.registry.session import Session, closing
from pyollama.store.registry.upload_content import Content, Part

_PATIENCE = Patience()
_RECEIVED = re.compile(r"(?:bytes=)?0-(\d{1,18})")
_MAY_PASS = (400, 404, 409, 416)  # the session is not what we think it is


class Redirected(Exception):
    """The registry wants a part at ``target``, and to be asked about the next one at ``place``."""

    def __init__(self, target: str, place: str) -> None:
        super().__init__(target)
        self.target = target
        self.place = place


class PartSender:
    """Sends parts of ``content``. Safe to use from several threads."""

    def __init__(self, session: Session, content: Content) -> None:
        self._session = session
        self._content = content
        self.broken = threading.Event()
        """Set when the rest is not worth sending any more."""

    def add(self, place: str, part: Part) -> tuple[str, int]:
        """Add a part to the session at ``place``: where it goes on, and how much it has.

        Raises :class:`Redirected` where the part belongs elsewhere, else :class:`RegistryError`.
        """
        start, end = part
        headers = _headers(part) | {
            "content-range": f"{start}-{end - 1}",
            "x-redirect-uploads": "1",
        }
        sending = self._session.send(
            "PATCH", place, headers=headers, content=lambda: self._pieces(part), follow=False
        )
        with closing(sending) as response:
            self._check(response)
            if response.status_code == 307:
                raise Redirected(_joined(response, "location"), place_of(response))
            return place_of(response), min(received(response) or end, end)

    def target(self, place: str, part: Part) -> Redirected:
        """Where a part belongs, of a blob whose first one was redirected."""
        failures = 0
        while True:
            try:
                self.add(place, part)
            except Redirected as redirected:
                return redirected
            except RegistryError as error:
                failures = self.wait(error, failures)
            else:
                raise RegistryError("the registry redirects some parts of a blob, but not all")
            finally:
                self._content.done(part)

    def put(self, target: str, part: Part) -> bytes:
        """Send a part to its place; its MD5, which is what object stores know parts by."""
        failures = 0
        while True:
            try:
                return self._put(target, part)
            except RegistryError as error:
                failures = self.wait(error, failures)

    def _put(self, target: str, part: Part) -> bytes:
        digest = hashlib.md5(usedforsecurity=False)

        def content() -> Iterator[bytes]:
            nonlocal digest
            digest = hashlib.md5(usedforsecurity=False)
            for piece in self._pieces(part):
                digest.update(piece)
                yield piece

        sending = self._session.send("PUT", target, headers=_headers(part), content=content)
        with closing(sending) as response:
            self._check(response)
        return digest.digest()

    def wait(self, error: RegistryError, failures: int) -> int:
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

    def _pieces(self, part: Part) -> Iterator[bytes]:
        return self._content.pieces(part, self._check_stopped)

    def _check_stopped(self) -> None:
        self._session.check_stopped()
        if self.broken.is_set():
            raise Aborted("another part of the blob could not be sent")

    def _check(self, response: httpx.Response) -> None:
        """As :meth:`Session.check`, keeping what the registry says about trying again."""
        try:
            self._session.check(response)
        except RegistryError as error:
            error.details["retry_after"] = int(retry_after(response))
            raise


def _headers(part: Part) -> dict[str, str]:
    length = str(part[1] - part[0])
    return {"content-type": "application/octet-stream", "content-length": length}


def place_of(response: httpx.Response) -> str:
    """Where the session goes on."""
    return _joined(response, "docker-upload-location", "location")


def _joined(response: httpx.Response, *names: str) -> str:
    """The address in the first of these headers, which may be relative to what was asked."""
    place = next((found for name in names if (found := response.headers.get(name))), "")
    if not place:
        raise RegistryError("the registry does not say where to upload to")
    try:
        return str(joined(response.request.url, place))
    except ValueError as error:
        raise RegistryError("the registry wants uploads at a place that is no address") from error


def received(response: httpx.Response) -> int | None:
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
    return is_passing(status) or status in _MAY_PASS
