"""What a request says about itself besides its body: who asks, and how urgent it is."""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple, get_args

from starlette.requests import Request

from pyollama.errors import InvalidRequest
from pyollama.types import Priority

PRIORITY = "X-Pyollama-Priority"
"""Header: ``interactive``, ``normal`` or ``batch``."""

_PRIORITIES: dict[str, Priority] = {name: name for name in get_args(Priority)}


class Caller(NamedTuple):
    """See ``priority`` and ``key`` of :class:`~pyollama.types.GenerateRequest`."""

    priority: Priority = "normal"
    key: str = ""


class Callers:
    """Tells callers apart by their bearer token, or else by their address.

    Of a token only a digest is kept, and its salt is made anew in every process.
    """

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(16)

    def of(self, request: Request) -> Caller:
        """Raises :class:`InvalidRequest` for a priority that there is not."""
        return Caller(_priority(request.headers.get(PRIORITY, "normal")), self._key(request))

    def _key(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (token := token.strip()):
            digest = hashlib.blake2b(token.encode(), digest_size=16, key=self._salt)
            return f"token {digest.hexdigest()}"
        return f"address {request.client.host}" if request.client else ""


def _priority(name: str) -> Priority:
    priority = _PRIORITIES.get(name.strip().lower())
    if priority is None:
        names = ", ".join(_PRIORITIES)
        raise InvalidRequest(f"{PRIORITY}: {name!r} must be one of {names}", field=PRIORITY)
    return priority
