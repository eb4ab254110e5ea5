"""Getting in: the challenge of a registry, and the token that answers it.

A 401 names a ``realm``. The token is asked for there, with a request signed by the user's key, and
only if the realm is on the host that was asked: a registry must not be able to collect signatures
or tokens for another one.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import msgspec

from pyollama.errors import AccessDenied, RegistryError
from pyollama.store.registry.address import host_and_port, joined, origin_of

MAX_HEADER = 16 << 10
_PARAMETER = re.compile(r'\s*([A-Za-z_]{1,32})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,|$)')
_NO_BODY = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode("ascii")
_MAX_TOKEN = 64 << 10

Sign = Callable[[bytes], str]
_Primitive = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a ``WWW-Authenticate: Bearer`` header asks for."""

    realm: str
    service: str = ""
    scopes: tuple[str, ...] = ()


class _Answer(msgspec.Struct):
    token: str = ""
    access_token: str = ""


def parse_challenge(header: str) -> Challenge:
    """The challenge in a ``WWW-Authenticate`` header; :class:`AccessDenied` if there is none."""
    scheme, _, rest = header[:MAX_HEADER].strip().partition(" ")
    if scheme.lower() != "bearer":
        raise AccessDenied("unauthorized: access denied")
    found: dict[str, str] = {}
    place = 0
    while match := _PARAMETER.match(rest, place):
        name, quoted, bare = match.groups()
        value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        found.setdefault(name.lower(), value)
        place = match.end()
    if not found.get("realm"):
        raise AccessDenied("unauthorized: the registry does not say where to sign in")
    return Challenge(
        found["realm"], found.get("service", ""), tuple(found.get("scope", "").split())
    )


def token_url(challenge: Challenge, asked: httpx.URL, now: float | None = None) -> httpx.URL:
    """Where to get the token for a challenge that came from the URL ``asked``.

    Raises :class:`RegistryError` unless that is on the same host, and as well encrypted.
    """
    try:
        realm = joined(asked, challenge.realm)
    except ValueError as error:
        raise RegistryError("the registry names a realm that is no address") from error
    if origin_of(realm)[1:] != origin_of(asked)[1:]:
        raise RegistryError(
            f'realm host "{host_and_port(realm)}" does not match original host'
            f' "{host_and_port(asked)}"'
        )
    if realm.scheme != asked.scheme:
        raise RegistryError(f"the registry wants to hand out tokens over {realm.scheme}")
    params: list[tuple[str, _Primitive]] = list(realm.params.multi_items())
    params.append(("service", challenge.service))
    params += [("scope", scope) for scope in challenge.scopes]
    params.append(("ts", int(time.time() if now is None else now)))
    params.append(("nonce", secrets.token_urlsafe(16)))
    return realm.copy_with(params=httpx.QueryParams(tuple(params)), fragment=None)


def signature(url: httpx.URL, sign: Sign) -> str:
    """The ``Authorization`` of a request for a token."""
    return sign(f"GET,{url},{_NO_BODY}".encode())


def read_token(body: bytes) -> str:
    """The token in the answer of a realm."""
    try:
        answer = msgspec.json.decode(body[:_MAX_TOKEN], type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise AccessDenied("unauthorized: the registry's answer holds no token") from error
    token = answer.token or answer.access_token
    if not token or not token.isascii() or not token.isprintable():
        raise AccessDenied("unauthorized: the registry's answer holds no token")
    return token
