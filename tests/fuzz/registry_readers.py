"""What a registry, and the disk, may answer while a model is fetched. See :mod:`.readers`."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import httpx
from tests.fuzz.choices import Choices
from tests.fuzz.shapes import json_of

from pyollama.errors import (
    AccessDenied,
    ModelNotFound,
    RegistryError,
    StoreError,
)
from pyollama.store.digest import is_digest
from pyollama.store.registry import fetching, upload_parts
from pyollama.store.registry.address import Guard, Network, Registry, host_and_port, origin_of
from pyollama.store.registry.auth import parse_challenge, read_token, signature, token_url
from pyollama.store.registry.huggingface import Repository
from pyollama.store.registry.huggingface_files import choose, parse_listing
from pyollama.store.registry.parts import fit_together, parse_part
from pyollama.store.registry.patience import retry_after
from pyollama.store.registry.remote import check_range
from pyollama.store.registry.session import Session

_ASKED = httpx.URL("https://registry.example:5000/v2/library/m/manifests/latest")
_REGISTRY = Registry("https://registry.example:5000")
_GUARD = Guard(_REGISTRY, Network())
_PLACES = ("location", "docker-upload-location", "link", "www-authenticate", "retry-after")
_COUNTS = ("range", "content-range", "content-length", "content-digest", "content-encoding")
_LISTING_KEYS = ("type", "path", "size", "lfs", "oid", "x")


def challenge(data: bytes) -> None:
    try:
        found = parse_challenge(data.decode("latin-1"))
        url = token_url(found, _ASKED, now=0.0)
    except (AccessDenied, RegistryError):
        return
    assert found.realm
    assert origin_of(url) == origin_of(_ASKED)
    assert host_and_port(url) and signature(url, lambda text: text.hex())


def token(data: bytes) -> None:
    try:
        found = read_token(data)
    except AccessDenied:
        return
    assert found.isascii() and found.isprintable() and not set(found) & set("\r\n")


def answer(data: bytes) -> None:
    """Headers of an answer: each is read by all that read it."""
    choices = Choices(data)
    status = choices.pick((200, 206, 302, 307, 401, 416, 429, 503))
    name = choices.pick(_PLACES + _COUNTS)
    headers = [(name.encode(), choices.rest().replace(b"\n", b"").replace(b"\r", b""))]
    request = httpx.Request("GET", _ASKED)
    response = httpx.Response(status, headers=headers, request=request)
    assert retry_after(response, now=0.0) >= 0
    digest = fetching._content_digest(response)
    assert digest is None or isinstance(digest, bytes)
    received = upload_parts.received(response)
    assert received is None or received >= 0
    with suppress(RegistryError):
        check_range(response, 10, 20, 100)
        assert status in (200, 206)
    session: Any = SimpleNamespace(registry=_REGISTRY)
    repository: Any = SimpleNamespace(session=session)
    with suppress(RegistryError):
        page = Repository._next_page(repository, response)
        assert not page or origin_of(httpx.URL(page)) == _REGISTRY.origin
    with suppress(RegistryError):
        assert upload_parts.place_of(response)
    with suppress(RegistryError):
        _follow(Session._next_hop(session, response))


def _follow(url: httpx.URL) -> None:
    """What a guard says of a place, but for looking up its host."""
    _GUARD.check_addresses(url, [url.host])
    assert url.host not in ("localhost", "127.0.0.1", "10.0.0.1", "::1", "169.254.169.254")


def listing(data: bytes) -> None:
    choices = Choices(data)
    tag = choices.pick(("latest", "Q4_K_M", "q8_0", "x.gguf", "(", "00001"))
    raw = choices.rest() if choices.flag() else b"[" + json_of(choices, _LISTING_KEYS) + b"]"
    try:
        files = parse_listing(raw)
        chosen = choose(files, tag)
    except (StoreError, ModelNotFound):
        return
    for file in chosen.files:
        assert is_digest(file.digest) and file.size > 0
        assert not file.path.startswith("/") and ".." not in file.path.split("/")


def state(data: bytes) -> None:
    """The state of a part of a download, which another program may have written."""
    try:
        part = parse_part(data)
    except ValueError:
        return
    assert 0 <= part.completed <= part.size and part.start <= part.stop
    if part.number == 0 and fit_together([part], 1000):
        assert (part.offset, part.size) == (0, 1000)
