"""Pulling from servers that differ: other ways to keep bytes right, no ranges, a proxy between."""

from __future__ import annotations

import base64
import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.e2e.faults import byte_range
from tests.e2e.planting import plant
from tests.e2e.registry_server import running_registry

from pyollama.store.name import Name
from pyollama.store.registry.address import Network, Registry
from pyollama.store.registry.download import Download
from pyollama.store.registry.parts import Partial
from pyollama.store.registry.remote import RedirectedBlob
from pyollama.store.registry.session import Session

MB = 1 << 20
SIZE = 40 * MB + 12_345  # three parts
PART = 16 * MB
DATA = random.Random(0).randbytes(SIZE)
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
PIECE = 256 << 10


class BlobServer(ThreadingHTTPServer):
    """Serves one blob. ``flips`` and ``cuts`` are places that go wrong once."""

    daemon_threads = True

    def __init__(self, *, ranges: bool = True, digests: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ranges = ranges
        self.digests = digests
        self.flips: set[int] = set()
        self.cuts: set[int] = set()
        self.asked: list[str] = []
        self.sent = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BlobServer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.asked.append(self.path)
        start, stop = byte_range(self.headers["range"]) if self.server.ranges else (0, None)
        body = memoryview(DATA)[start:stop]
        self.send_response(206 if self.server.ranges else 200)
        self.send_header("content-length", str(len(body)))
        if self.server.ranges:
            self.send_header("content-range", f"bytes {start}-{start + len(body) - 1}/{SIZE}")
        if self.server.digests and self.headers["want-content-digest"]:
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            self.send_header("content-digest", f"sha-512=:AAAA:, sha-256=:{digest}:")
        self.end_headers()
        for place in range(start, start + len(body), PIECE):
            piece = bytearray(body[place - start : place - start + PIECE])
            if self._befalls(self.server.cuts, place, len(piece)):
                self.close_connection = True
                return
            for flip in self._befalls(self.server.flips, place, len(piece)):
                piece[flip - place] ^= 1
            self.wfile.write(piece)
            with self.server.lock:
                self.server.sent += len(piece)

    def _befalls(self, places: set[int], start: int, length: int) -> list[int]:
        with self.server.lock:
            found = [place for place in places if start <= place < start + length]
            places.difference_update(found)
        return found


@pytest.fixture
def servers() -> Iterator[list[BlobServer]]:
    running: list[BlobServer] = []
    yield running
    for server in running:
        server.shutdown()
        server.server_close()


def fetch(url: str, path: str, folder: Path, digest: str = DIGEST, size: int = SIZE) -> Path:
    """Download a blob from a server into ``folder``."""
    registry = Registry(url, trusted=True, plain=url.startswith("http:"))
    with Session(registry, Network(stall=5.0), lambda data: "") as session:
        partial = Partial.open(folder / "blob", size)
        assert partial is not None
        try:
            for _ in Download(session, RedirectedBlob(session, url + path), partial, digest).run():
                pass
        finally:
            partial.close()
    return partial.path


def test_a_digest_of_each_part_finds_a_flipped_byte_at_once(
    servers: list[BlobServer], tmp_path: Path
) -> None:
    servers.append(server := BlobServer(digests=True))
    server.flips = {PART + 99}
    assert fetch(server.url, "/blob", tmp_path).read_bytes() == DATA
    assert server.sent == SIZE + PART


def test_several_flipped_bytes_cost_their_parts(servers: list[BlobServer], tmp_path: Path) -> None:
    servers.append(server := BlobServer(digests=True))
    server.flips = {5, SIZE - 1}
    assert fetch(server.url, "/blob", tmp_path).read_bytes() == DATA
    assert server.sent == SIZE + PART + (SIZE - 2 * PART)


def test_without_such_digests_only_the_whole_can_tell(
    servers: list[BlobServer], tmp_path: Path
) -> None:
    servers.append(server := BlobServer())
    server.flips = {7, PART + 7}
    assert fetch(server.url, "/blob", tmp_path).read_bytes() == DATA
    assert server.sent == SIZE + 2 * PART


def test_a_server_without_ranges_sends_it_all(servers: list[BlobServer], tmp_path: Path) -> None:
    servers.append(server := BlobServer(ranges=False))
    assert fetch(server.url, "/blob", tmp_path).read_bytes() == DATA


def test_and_again_after_a_break(servers: list[BlobServer], tmp_path: Path) -> None:
    servers.append(server := BlobServer(ranges=False))
    server.cuts = {20 * MB}
    server.flips = {30 * MB}
    assert fetch(server.url, "/blob", tmp_path).read_bytes() == DATA


class Flipper:
    """A wire that changes one byte on its way from the server, whatever it is part of."""

    def __init__(self, target: tuple[str, int], at: int) -> None:
        self._target = target
        self._at = at
        self._passed = 0
        self.flipped = False
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    @property
    def passed(self) -> int:
        return self._passed

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            for ends in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with source, sink:
            try:
                while data := source.recv(PIECE):
                    sink.sendall(self._changed(data) if answers else data)
            except OSError:
                return

    def _changed(self, data: bytes) -> bytes:
        with self._lock:
            place, self._passed = self._passed, self._passed + len(data)
            if self.flipped or self._passed <= self._at:
                return data
            self.flipped = True
        changed = bytearray(data)
        changed[self._at - place] ^= 1
        return bytes(changed)


def test_tls_finds_a_flipped_byte_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks there; only the rest of that part comes again."""
    with running_registry(tmp_path, tls=True) as registry:
        monkeypatch.setenv("SSL_CERT_FILE", registry.environment["SSL_CERT_FILE"])
        model = plant(registry.storage, "space/model", SIZE)
        host, port = registry.host.split(":")
        wire = Flipper((host, int(port)), at=20 * MB)
        url = f"https://127.0.0.1:{wire.port}"
        path = Registry("").blob(Name.parse("x/space/model"), model.weights)
        found = fetch(url, path, tmp_path, model.weights)
        wire.close()
    assert found.read_bytes() == model.data
    assert wire.flipped
    assert wire.passed <= SIZE * 1.01 + PART


def test_a_proxy_of_the_environment_is_used(
    servers: list[BlobServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the whole address, and looks up the name itself."""
    servers.append(server := BlobServer())
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    assert fetch("http://nowhere.example", "/blob", tmp_path).read_bytes() == DATA
    assert set(server.asked) == {"http://nowhere.example/blob"}
