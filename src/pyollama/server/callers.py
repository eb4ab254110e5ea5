"""What a request says about itself besides its body: who asks, and how urgent it is."""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple, get_args
from urllib.parse import unquote

from starlette.requests import Request

from pyollama.errors import InvalidRequest
from pyollama.server.hosts import is_loopback
from pyollama.types import Priority

PRIORITY = "X-Pyollama-Priority"
"""Header: ``interactive``, ``normal`` or ``batch``."""

USAGE = "X-Pyollama-Usage"
"""Header: ``true`` asks for all that is counted at the end of an answer."""

_PASSED_ON = ("forwarded", "x-forwarded-for", "x-real-ip", "via", "origin")
"""Headers that proxies and browsers add."""

FILE = "X-Pyollama-File"
"""Header: the percent-encoded path of a file to take instead of an uploaded one."""

_PRIORITIES: dict[str, Priority] = {name: name for name in get_args(Priority)}


class Caller(NamedTuple):
    """See ``priority`` and ``key`` of :class:`~pyollama.types.GenerateRequest`.

    ``files``: whether it may name files of this machine as models. ``request_id`` is the one that
    the answer carries in its headers.
    """

    priority: Priority = "normal"
    key: str = ""
    files: bool = False
    request_id: str = ""


class Callers:
    """Tells callers apart by their bearer token, or else by their address.

    Of a token only a digest is kept, and its salt is made anew in every process. ``files`` says who
    may name files: everybody, nobody, or (``None``) programs on this machine.
    """

    def __init__(self, files: bool | None = None) -> None:
        self._salt = secrets.token_bytes(16)
        self._files = files

    def of(self, request: Request) -> Caller:
        """Raises :class:`InvalidRequest` for a priority that there is not."""
        priority = _priority(request.headers.get(PRIORITY, "normal"))
        number = getattr(request.state, "request_id", "")
        return Caller(priority, self._key(request), self.may_name_files(request), number)

    def may_name_files(self, request: Request) -> bool:
        """A proxy on this machine and a page in a browser are not programs on this machine."""
        if self._files is not None:
            return self._files
        passed_on = any(header in request.headers for header in _PASSED_ON)
        return not passed_on and request.client is not None and is_loopback(request.client.host)

    def named_file(self, request: Request) -> str:
        """The file of this machine that is meant instead of a body, if one is."""
        path = unquote(request.headers.get(FILE, ""))
        if path and not self.may_name_files(request):
            raise InvalidRequest(f"{FILE}: only programs on the server's machine may", field=FILE)
        return path

    def _key(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (token := token.strip()):
            digest = hashlib.blake2b(token.encode(), digest_size=16, key=self._salt)
            return f"token {digest.hexdigest()}"
        return f"address {request.client.host}" if request.client else ""


def wants_usage(request: Request) -> bool:
    return request.headers.get(USAGE, "").strip().lower() in ("1", "true")


def _priority(name: str) -> Priority:
    priority = _PRIORITIES.get(name.strip().lower())
    if priority is None:
        names = ", ".join(_PRIORITIES)
        raise InvalidRequest(f"{PRIORITY}: {name!r} must be one of {names}", field=PRIORITY)
    return priority
