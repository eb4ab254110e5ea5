"""A server that speaks as Hugging Face does, for repositories of the tests.

The shapes are those of the Hub's documentation and of its clients: listings in pages, large files
by their SHA-256, content on another host behind signed addresses, the protocol of registries under
``/v2/`` with its refusal of weights in several files, and 401 for what one may not see.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.e2e.certificates import Certificates, make_certificates
from tests.e2e.faults import byte_range

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_PAGE = 2
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LAYER = "application/vnd.ollama.image."
_CONFIG = "application/vnd.docker.container.image.v1+json"
_SHARDED = (
    "The specified tag is a sharded GGUF. Ollama does not support this yet."
    ' Please use another tag or "latest".'
)


@dataclass(slots=True)
class Repository:
    """``files`` by path. One with a ``token`` shows itself to those only who bring it.

    A ``gated`` one shows what it has, but lets nobody read it.
    """

    files: dict[str, bytes]
    token: str = ""
    gated: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: ``place`` is ``hub`` or ``cdn``."""

    place: str
    method: str
    path: str
    authorization: str
    range: str


@dataclass(slots=True)
class HubServer:
    """``url`` is the value for ``HF_ENDPOINT``; ``environment`` makes clients trust it.

    ``next_url`` is where the pages of listings after the first one are said to be.
    """

    certificates: Certificates
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[Asked] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    url: str = ""
    cdn_url: str = ""
    next_url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": str(self.certificates.authority), "HF_ENDPOINT": self.url}

    def content(self, digest: str) -> bytes:
        for repository in self.repositories.values():
            for data in (*repository.files.values(), *_small_blobs(repository)):
                if _sha256(data) == digest:
                    return data
        raise KeyError(digest)


@contextmanager
def running_hub(folder: Path, repositories: dict[str, Repository]) -> Iterator[HubServer]:
    """Serve ``repositories``, by ``<user>/<name>``, over TLS."""
    hub = HubServer(make_certificates(folder), repositories)
    servers = [_Listener(hub, "hub"), _Listener(hub, "cdn")]
    hub.url = f"https://127.0.0.1:{servers[0].server_address[1]}"
    hub.next_url = hub.url
    hub.cdn_url = f"https://localhost:{servers[1].server_address[1]}"
    for server in servers:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(hub.certificates.certificate, hub.certificates.key)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
    assert not hub.errors


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: HubServer, place: str) -> None:
        self.hub = hub
        self.place = place
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.hub.errors.append(error)


class _Refusal(Exception):
    def __init__(self, status: int, body: dict[str, str], **headers: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = json.dumps(body).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        hub, place = self.server.hub, self.server.place
        authorization = self.headers["authorization"] or ""
        ranged = self.headers["range"] or ""
        hub.requests.append(Asked(place, self.command, self.path, authorization, ranged))
        path = unquote(urlsplit(self.path).path)
        try:
            if place == "cdn":
                self._content(path)
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/refs", path):
                self._references(self._repository(found[1]))
            elif found := re.fullmatch(rf"/api/models/([^/]+/[^/]+)/tree/{COMMIT}", path):
                self._tree(found[1], self._repository(found[1]))
            elif found := re.fullmatch(rf"/([^/]+/[^/]+)/resolve/{COMMIT}/(.+)", path):
                self._resolve(self._repository(found[1]), found[2])
            elif found := re.fullmatch(r"/v2/([^/]+/[^/]+)/(manifests|blobs)/(.+)", path):
                self._registry(self._repository(found[1], api=False), found[2], found[3])
            else:
                raise _Refusal(404, {"error": "Sorry, we can't find the page you are looking for."})
        except _Refusal as refusal:
            self._answer(refusal.status, refusal.body, **refusal.headers)

    do_HEAD = do_GET

    def _repository(self, name: str, *, api: bool = True) -> Repository:
        """The one of this name, if the caller may see it: else there might be none as well."""
        repository = self.server.hub.repositories.get(name)
        authorization = self.headers["authorization"] or ""
        if repository and (not repository.token or authorization == f"Bearer {repository.token}"):
            return repository
        if api:
            error = "Invalid username or password."
            raise _Refusal(401, {"error": error}, x_error_code="RepoNotFound")
        realm = f'Bearer realm="{self.server.hub.url}/v2/token",service="hub",scope="pull"'
        raise _Refusal(401, {"error": "unauthorized"}, www_authenticate=realm)

    # --- the API ----------------------------------------------------------------------------------

    def _references(self, repository: Repository) -> None:
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}
        other = {"name": "gguf", "ref": "refs/heads/gguf", "targetCommit": "f" * 40}
        self._json({"tags": [], "branches": [other, main], "converts": []})

    def _tree(self, name: str, repository: Repository) -> None:
        query = parse_qs(urlsplit(self.path).query)
        assert query["recursive"] == ["true"]
        start = int(query.get("cursor", ["0"])[0])
        folders = {path.rpartition("/")[0] for path in repository.files} - {""}
        entries: list[dict[str, Any]] = [
            {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}
            for path in (*sorted(folders), "docs", "images")
        ]
        entries += [_entry(path, data) for path, data in sorted(repository.files.items())]
        headers = {}
        if start + _PAGE < len(entries):
            page = f"/api/models/{name}/tree/{COMMIT}?recursive=true&cursor={start + _PAGE}"
            headers["link"] = f'<{self.server.hub.next_url}{page}>; rel="next"'
        self._json(entries[start : start + _PAGE], **headers)

    def _resolve(self, repository: Repository, path: str) -> None:
        data = repository.files.get(path)
        if data is None:
            raise _Refusal(404, {"error": "Entry not found"}, x_error_code="EntryNotFound")
        if repository.gated:
            error = "Access to model is restricted and you are not in the authorized list."
            raise _Refusal(403, {"error": error}, x_error_code="GatedRepo")
        if _is_small(path):
            self._answer(200, data, x_repo_commit=COMMIT)
        else:
            self._lead_away(data)

    # --- the protocol of registries ---------------------------------------------------------------

    def _registry(self, repository: Repository, kind: str, what: str) -> None:
        if kind == "blobs":
            self._lead_away(self.server.hub.content(what.removeprefix("sha256:")))
            return
        wanted = "q4_k_m" if what == "latest" else what.lower()
        single = [path for path in repository.files if path.lower().endswith(f"{wanted}.gguf")]
        if not single:
            raise _Refusal(400, {"error": _SHARDED})
        manifest = _manifest(repository, repository.files[single[0]])
        self._answer(200, manifest, content_type=_MANIFEST)

    # --- content ----------------------------------------------------------------------------------

    def _lead_away(self, data: bytes) -> None:
        digest = _sha256(data)
        location = f"{self.server.hub.cdn_url}/{digest}?X-Amz-Signature=secret"
        self._answer(
            302, b"", location=location, x_linked_size=str(len(data)), x_linked_etag=f'"{digest}"'
        )

    def _content(self, path: str) -> None:
        """As object stores do: credentials beside the signature are refused."""
        query = parse_qs(urlsplit(self.path).query)
        if query.get("X-Amz-Signature") != ["secret"] or self.headers["authorization"]:
            raise _Refusal(400, {"error": "Only one auth mechanism allowed"})
        data = self.server.hub.content(path.removeprefix("/"))
        ranged = self.headers["range"]
        if not ranged:
            self._answer(200, data)
            return
        start, end = byte_range(ranged)
        end = min(end or len(data), len(data))
        self._answer(206, data[start:end], content_range=f"bytes {start}-{end - 1}/{len(data)}")

    def _json(self, value: Any, **headers: str) -> None:
        self._answer(200, json.dumps(value).encode(), content_type="application/json", **headers)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _is_small(path: str) -> bool:
    return not path.endswith(".gguf")


def _entry(path: str, data: bytes) -> dict[str, Any]:
    oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry: dict[str, Any] = {"type": "file", "oid": oid, "size": len(data), "path": path}
    if not _is_small(path):
        entry["lfs"] = {"oid": _sha256(data), "size": len(data), "pointerSize": 135}
        entry["xetHash"] = "1" * 64
    return entry


def _small_blobs(repository: Repository) -> list[bytes]:
    """What Hugging Face makes or takes along for a manifest, the config first."""
    facts = {"model_format": "gguf", "model_family": "qwen2"}
    config = json.dumps(facts | {"architecture": "amd64", "os": "linux"}).encode()
    texts = ("template", "system", "params")
    return [config, *(repository.files[name] for name in texts if name in repository.files)]


def _manifest(repository: Repository, weights: bytes) -> bytes:
    config = _small_blobs(repository)[0]
    layers = [_layer(f"{_LAYER}model", weights)]
    layers += [
        _layer(_LAYER + name, repository.files[name])
        for name in ("template", "system", "params")
        if name in repository.files
    ]
    document = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": _layer(_CONFIG, config)}
    return json.dumps(document | {"layers": layers}).encode()


def _layer(kind: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{_sha256(data)}", "size": len(data)}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
