"""Fetching a stretch of a blob, again and again until it is there or patience ends."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

import httpx

from pyollama.errors import RegistryError, RegistryUnreachable
from pyollama.store.registry.limiter import Limiter
from pyollama.store.registry.patience import Patience, is_passing, retry_after
from pyollama.store.registry.remote import RemoteBlob, check_range
from pyollama.store.registry.session import Session, closing, unreachable

log = logging.getLogger(__name__)

_DIGEST = re.compile(r"(?:^|[,\s])sha-256=:([A-Za-z0-9+/]{43}=):")
_MAY_PASS = (401, 403)  # a token or a signed address may have run out


class Sink(Protocol):
    """Takes the bytes of a stretch in order. ``start`` is where the next one belongs."""

    @property
    def start(self) -> int: ...

    @property
    def stop(self) -> int: ...

    def write(self, data: bytes) -> None: ...

    def take_back(self, start: int) -> None:
        """Forget the bytes from ``start`` on."""
        ...


class NoRanges(Exception):
    """The server sends the whole blob whatever is asked for."""


class _Failed(Exception):
    """An attempt failed, but not for good. ``asked``: the seconds the server wants to be left."""

    def __init__(self, error: RegistryError, asked: float = 0.0) -> None:
        super().__init__(error.message)
        self.error = error
        self.asked = asked


class Fetcher:
    """Fetches stretches of one blob of ``total`` bytes. Safe to use from several threads.

    ``ranges`` says whether the server is expected to know about them; without, everything before
    the stretch is read too and thrown away.
    """

    def __init__(
        self,
        session: Session,
        blob: RemoteBlob,
        total: int,
        *,
        limiter: Limiter,
        patience: Patience,
        ranges: bool = True,
    ) -> None:
        self._session = session
        self._blob = blob
        self._total = total
        self._limiter = limiter
        self._patience = patience
        self._ranges = ranges
        self.ahead = False
        """Whether an answer was good: the way is known, more connections may follow."""

    def fetch(self, sink: Sink) -> bool:
        """Fill ``sink``; whether that was possible in one go.

        Raises :class:`RegistryError` when it is hopeless, or when too many attempts in a row
        brought nothing; :class:`NoRanges`; :class:`Aborted`; what ``sink`` raises.
        """
        failures = 0
        smooth = True
        while sink.start < sink.stop:
            before, asked = sink.start, 0.0
            try:
                self._attempt(sink)
                continue
            except _Failed as failed:
                error, asked = failed.error, failed.asked
            except httpx.TransportError as broken:
                error = unreachable(broken, "GET", "blob")
            self._session.check_stopped()
            self._blob.forget()
            smooth = False
            failures = 1 if sink.start > before else failures + 1
            log.debug("bytes from %d on: %s", before, error.message)
            if failures >= self._patience.tries:
                raise RegistryUnreachable(f"max retries exceeded: {error.message}") from error
            self._session.wait(self._patience.pause(failures, asked))
        return smooth

    def _attempt(self, sink: Sink) -> None:
        begin = sink.start
        with closing(self._open(begin, sink.stop)) as response:
            expected = _content_digest(response)
            came = hashlib.sha256()
            for piece in self._pieces(response, begin, sink.stop):
                sink.write(piece)
                if expected:
                    came.update(piece)
            if sink.start < sink.stop:
                raise _Failed(RegistryUnreachable("the answer ended early"))
        if expected and came.digest() != expected:
            sink.take_back(begin)
            raise _Failed(RegistryError("the bytes do not match their Content-Digest"))

    def _open(self, start: int, stop: int) -> httpx.Response:
        try:
            response = self._blob.open(start, stop)
        except RegistryUnreachable as error:
            raise _Failed(error) from error
        try:
            if is_passing(response.status_code) or response.status_code in _MAY_PASS:
                raise _Failed(self._refusal(response), retry_after(response))
            self._session.check(response)
            check_range(response, start, stop, self._total)
            if (
                response.status_code == httpx.codes.OK
                and self._ranges
                and self._total > stop - start
            ):
                raise NoRanges
        except BaseException:
            response.close()
            raise
        self.ahead = True
        return response

    def _refusal(self, response: httpx.Response) -> RegistryError:
        try:
            self._session.check(response)
        except RegistryError as error:
            return error
        return RegistryError(f"unexpected status {response.status_code}")

    def _pieces(self, response: httpx.Response, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from ``start`` to ``stop`` as they come, not faster than allowed."""
        place = 0 if response.status_code == httpx.codes.OK else start
        for piece in response.iter_raw():
            self._session.check_stopped()
            if delay := self._limiter.take(len(piece)):
                self._session.wait(delay)
            if wanted := piece[max(start - place, 0) : stop - place]:
                yield wanted
            place += len(piece)
            if place >= stop:
                return


def _content_digest(response: httpx.Response) -> bytes | None:
    """The SHA-256 that the server gives for just the bytes of this answer (RFC 9530)."""
    found = _DIGEST.search(response.headers.get("content-digest", ""))
    if found and response.status_code == httpx.codes.PARTIAL_CONTENT:
        with suppress(binascii.Error):
            return base64.b64decode(found[1], validate=True)
    return None
