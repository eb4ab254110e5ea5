"""Tokens for a registry: who asks proves it with an ed25519 key, as clients of Ollama do.

The token itself is the one that Docker's registry expects: a JWT, signed with a key whose
certificate the registry trusts (https://distribution.github.io/distribution/spec/auth/jwt/).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from tests.e2e.certificates import self_signed

ISSUER = "pyollama tests"
SERVICE = "pyollama test registry"

_EMPTY = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
_CLOCK_SKEW = 300
_LIFETIME = 3600


class Refused(Exception):
    """Why there is no token."""


@dataclass(slots=True)
class TokenServer:
    """Checks signatures and hands out tokens; ``folder`` holds the certificate for the registry.

    ``pushers`` are the keys (first part of a signature) that may push; ``None`` lets everybody.
    ``given`` counts the tokens, ``refusals`` says why others got none.
    """

    folder: Path
    pushers: set[str] | None = None
    given: int = 0
    refusals: list[str] = field(default_factory=list)
    _key: ec.EllipticCurvePrivateKey = field(init=False, repr=False)
    _certificate: bytes = field(init=False, repr=False)
    _nonces: set[str] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = self_signed(self._key, ISSUER)
        self._certificate = certificate.public_bytes(Encoding.DER)
        self.bundle.write_bytes(certificate.public_bytes(Encoding.PEM))

    @property
    def bundle(self) -> Path:
        """The certificate that the registry has to trust."""
        return self.folder / "tokens.pem"

    def answer(self, url: str, authorization: str | None) -> tuple[int, bytes]:
        """Status and body for ``GET url``, which is the whole URL as the client wrote it."""
        try:
            key = self._check_signature(url, authorization)
            token = self._token(self._check_query(url), key)
        except (Refused, ValueError) as refusal:
            self.refusals.append(str(refusal))
            errors = [{"code": "UNAUTHORIZED", "message": str(refusal)}]
            return 401, json.dumps({"errors": errors}).encode()
        self.given += 1
        return 200, json.dumps({"token": token}).encode()

    def _check_signature(self, url: str, authorization: str | None) -> str:
        key, _, signature = (authorization or "").partition(":")
        try:
            public = Ed25519PublicKey.from_public_bytes(_raw_key(base64.b64decode(key)))
            public.verify(base64.b64decode(signature), f"GET,{url},{_EMPTY}".encode())
        except (ValueError, struct.error, InvalidSignature) as error:
            raise Refused(f"the signature does not fit the request: {error!r}") from error
        return key

    def _check_query(self, url: str) -> list[str]:
        """The scopes that are asked for."""
        query = parse_qs(urlsplit(url).query, keep_blank_values=True)
        if query.get("service") != [SERVICE]:
            raise Refused(f"service is {query.get('service')}")
        times = query.get("ts", [])
        if len(times) != 1 or abs(int(times[0]) - time.time()) > _CLOCK_SKEW:
            raise Refused(f"ts is {times}")
        nonces = query.get("nonce", [])
        if len(nonces) != 1 or len(base64.urlsafe_b64decode(f"{nonces[0]}==")) != 16:
            raise Refused(f"nonce is {nonces}")
        with self._lock:
            if nonces[0] in self._nonces:
                raise Refused("nonce was used before")
            self._nonces.add(nonces[0])
        scopes = query.get("scope", [])
        if not scopes or any(" " in scope for scope in scopes):
            raise Refused(f"scope is {scopes}")
        return scopes

    def _token(self, scopes: list[str], key: str) -> str:
        may_push = self.pushers is None or key in self.pushers
        allowed = {"pull", "push"} if may_push else {"pull"}
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            granted = [action for action in actions.split(",") if action in allowed]
            access.append({"type": kind, "name": name, "actions": granted})
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": hashlib.sha256(key.encode()).hexdigest(),
            "aud": SERVICE,
            "exp": now + _LIFETIME,
            "nbf": now - _CLOCK_SKEW,
            "iat": now,
            "jti": secrets.token_hex(16),
            "access": access,
        }
        header = {
            "typ": "JWT",
            "alg": "ES256",
            "x5c": [base64.b64encode(self._certificate).decode()],
        }
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _raw_key(blob: bytes) -> bytes:
    """The 32 bytes of the key in an SSH public key blob."""
    (length,) = struct.unpack_from(">I", blob)
    if blob[4 : 4 + length] != b"ssh-ed25519":
        raise ValueError("not an ed25519 key")
    (size,) = struct.unpack_from(">I", blob, 4 + length)
    return blob[8 + length : 8 + length + size]


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
