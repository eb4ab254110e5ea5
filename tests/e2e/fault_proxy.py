"""A registry's front: TLS, tokens, another host that keeps the content, and faults on demand.

It listens twice. What Ollama's registry leaves to an object store is below ``/cdn/`` here, and
clients are sent there under another name and port, which makes it a different host to them.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

from tests.e2e.certificates import Certificates
from tests.e2e.faults import Fault, Record, Seen, byte_range
from tests.e2e.token_server import TokenServer

_PIECE = 64 << 10
_SHORT = 256 << 10
_MOMENT = 0.3
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}


class _Gone(OSError):
    """One of the two sides has left."""


class FaultProxy:
    """Passes requests on to the registry at ``upstream`` (host and port), or to ``storage``.

    ``url`` is where clients find it, ``other_url`` the host that keeps the content.
    """

    def __init__(self, certificates: Certificates | None, tokens: TokenServer | None) -> None:
        self.record = Record()
        self.tokens = tokens
        self.upstream = ("127.0.0.1", 0)
        self.storage = Path()
        self.parts: dict[str, dict[int, bytes]] = {}
        self.ended = threading.Event()
        self.errors: list[BaseException] = []
        self._certificates = certificates
        self._servers = [_Listener(self), _Listener(self)]
        ports = [server.server_address[1] for server in self._servers]
        scheme = "https" if certificates else "http"
        self.host = f"127.0.0.1:{ports[0]}"
        self.url = f"{scheme}://{self.host}"
        self.other_url = f"{scheme}://localhost:{ports[1]}"

    def add(self, kind: Any, **details: Any) -> Fault:
        """Let something go wrong, see :class:`Fault`."""
        return self.record.add(Fault(kind, **details))

    def start(self) -> None:
        for server in self._servers:
            if self._certificates:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self._certificates.certificate, self._certificates.key)
                server.socket = context.wrap_socket(
                    server.socket, server_side=True, do_handshake_on_connect=False
                )
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.ended.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def blob(self, digest: str) -> Path:
        """The file in which the registry keeps a blob."""
        algorithm, _, digits = digest.partition(":")
        folder = self.storage / "docker/registry/v2/blobs" / algorithm / digits[:2] / digits
        return folder / "data"


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):  # OSError: the client left
            self.proxy.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener
    seen: Seen

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    # --- which way a request goes ---------------------------------------------------------------

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen = Seen(self.command, headers.get("host", ""), self.path, headers)
        fault = self.server.proxy.record.take(self.seen)
        if fault is not None and fault.kind == "answer":
            self._drain()
            self._answer(fault.status, fault.body, fault.headers)
        elif fault is not None and fault.kind == "redirect":
            self._redirect(fault)
        elif self.path.startswith("/token"):
            self._token()
        elif self.path.startswith("/cdn/upload/"):
            self._keep_part(fault)
        elif self.path.startswith("/cdn/"):
            self._serve_blob(fault)
        else:
            self._pass_on(fault)

    def _token(self) -> None:
        tokens = self.server.proxy.tokens
        assert tokens is not None
        scheme = self.server.proxy.url.partition("://")[0]
        url = f"{scheme}://{self.seen.host}{self.path}"
        status, body = tokens.answer(url, self.headers["authorization"])
        self._answer(status, body, {"content-type": "application/json"})

    def _redirect(self, fault: Fault) -> None:
        """To the other host, if the registry would have said yes."""
        proxy = self.server.proxy
        if self.command == "PATCH":
            start = (self.headers["content-range"] or "0-").partition("-")[0]
            session = urlsplit(self.path).path.rpartition("/")[2]
            target = f"{proxy.other_url}/cdn/upload/{session}/{start}"
            self._answer(307, b"", {"location": target, "docker-upload-location": self.path})
            self._hang_up()
            return
        with self._ask("HEAD", self.path) as answer:
            if answer.status not in (200, 206):
                self._send(answer, None)
                return
        digest = self.path.rpartition("/")[2]
        location = {"location": f"{proxy.other_url}/cdn/{digest}?signature=secret"}
        self._answer(307, b"", location | dict(fault.headers))

    # --- the registry -----------------------------------------------------------------------------

    def _pass_on(self, fault: Fault | None) -> None:
        body = self._body(fault)
        if "etag=" in self.path:  # the content of this upload is on the other host
            body = iter([self._whole_upload()])
        forget = fault is not None and fault.kind == "forget"
        with self._ask(self.command, self.path, body, forget=forget) as answer:
            if fault is not None and fault.kind == "lose":
                answer.read()
                self._answer(fault.status, fault.body, fault.headers)
            else:
                self._send(answer, None if fault is not None and fault.upload else fault)

    @contextmanager
    def _ask(
        self, method: str, path: str, body: Iterable[bytes] = (), *, forget: bool = False
    ) -> Iterator[http.client.HTTPResponse]:
        proxy = self.server.proxy
        chunked = method in ("POST", "PUT", "PATCH") and (
            "content-length" not in self.seen.headers or "etag=" in path
        )
        dropped = _HOP_BY_HOP | ({"authorization"} if forget else set())
        dropped |= {"content-length"} if chunked else set()
        connection = http.client.HTTPConnection(*proxy.upstream)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in dropped:
                    connection.putheader(name, value)
            connection.putheader("x-forwarded-proto", proxy.url.partition("://")[0])
            if chunked:
                connection.putheader("transfer-encoding", "chunked")
            connection.endheaders()
            _feed(connection, body, chunked)
            yield connection.getresponse()
        finally:
            connection.close()

    # --- the other host ---------------------------------------------------------------------------

    def _serve_blob(self, fault: Fault | None) -> None:
        digest = urlsplit(self.path).path.rpartition("/")[2]
        path = self.server.proxy.blob(digest)
        size = path.stat().st_size
        start, end = byte_range(self.seen.headers.get("range", ""))
        end = min(end or size, size)
        headers = {"accept-ranges": "bytes", "content-type": "application/octet-stream"}
        if "range" in self.seen.headers:
            headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
        with path.open("rb") as file:
            file.seek(start)
            status = 206 if "range" in self.seen.headers else 200
            self._send_body(status, headers, file, end - start, fault)

    def _keep_part(self, fault: Fault | None) -> None:
        """A part of an upload, sent straight to the other host."""
        session, start = urlsplit(self.path).path.split("/")[3:5]
        part = b"".join(self._body(fault))
        self.server.proxy.parts.setdefault(session, {})[int(start)] = part
        self._answer(200, b"", {"etag": f'"{hashlib.md5(part).hexdigest()}"'})

    def _whole_upload(self) -> bytes:
        """The parts of an upload put together, if they are those of its ``etag``."""
        url = urlsplit(self.path)
        parts = self.server.proxy.parts.pop(url.path.rpartition("/")[2])
        ordered = [parts[start] for start in sorted(parts)]
        sums = b"".join(hashlib.md5(part).digest() for part in ordered)
        assert parse_qs(url.query)["etag"] == [f"{hashlib.md5(sums).hexdigest()}-{len(ordered)}"]
        return b"".join(ordered)

    # --- bodies -----------------------------------------------------------------------------------

    def _body(self, fault: Fault | None) -> Iterator[bytes]:
        """The pieces of the request's body; a fault of the upload happens on the way."""
        at = 0
        for piece in self._pieces():
            if fault is not None and fault.upload and at <= fault.at < at + len(piece):
                here = fault.at - at
                if fault.kind == "stall":
                    self.server.proxy.ended.wait()
                if fault.kind in ("cut", "stall"):
                    yield from (piece[:here],) if here else ()
                    self._reset()
                if fault.kind == "flip":
                    piece = _flipped(piece, here)
            at += len(piece)
            self.seen.received += len(piece)
            yield piece

    def _pieces(self) -> Iterator[bytes]:
        if "chunked" in self.seen.headers.get("transfer-encoding", ""):
            while size := int(self.rfile.readline().strip() or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.seen.headers.get("content-length", 0))
        while left:
            piece = self.rfile.read1(min(left, _PIECE))
            if not piece:
                raise _Gone("the client left in the middle of its body")
            left -= len(piece)
            yield piece

    def _drain(self) -> None:
        for _ in self._body(None):
            pass

    def _reset(self) -> None:
        """End the connection without a goodbye."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(self.connection.detach())
        raise _Gone("cut on purpose")

    def _hang_up(self) -> None:
        """End the connection with the body unread, a moment after the answer, as Go's server."""
        self.connection.settimeout(_MOMENT)
        with suppress(TimeoutError):
            for _ in range(_SHORT // _PIECE):
                self.rfile.read1(_PIECE)
        self.server.proxy.ended.wait(_MOMENT)
        socket.close(self.connection.detach())
        raise _Gone("the answer came before the body")

    def _answer(self, status: int, body: bytes, headers: Any) -> None:
        self.seen.status = status
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.seen.sent += len(body)

    def _send(self, answer: http.client.HTTPResponse, fault: Fault | None) -> None:
        headers = {
            name.lower(): value
            for name, value in answer.getheaders()
            if name.lower() not in _HOP_BY_HOP | {"content-length"}
        }
        length = answer.getheader("content-length")
        if length is None:  # of unknown length: read it, so that there is one
            self._answer(answer.status, answer.read(), headers)
            return
        self._send_body(answer.status, headers, answer, int(length), fault)

    def _send_body(
        self, status: int, headers: dict[str, str], body: Any, length: int, fault: Fault | None
    ) -> None:
        start = byte_range(self.seen.headers.get("range", ""))[0]
        truncated = fault is not None and fault.kind == "truncate"
        whole = fault.at - start if fault is not None and truncated else length
        self.seen.status = status
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(whole))
        self.end_headers()
        if self.command != "HEAD":
            self._stream(body, whole, start, fault)
        if truncated:
            self.close_connection = True

    def _stream(self, body: IO[bytes], length: int, at: int, fault: Fault | None) -> None:
        """``at`` is the place in the blob of the first byte, ``length`` how many there are."""
        end = at + length
        while at < end:
            piece = body.read(min(end - at, _PIECE))
            if not piece:
                raise _Gone("the registry left in the middle of its answer")
            if fault is not None:
                piece = self._spoil(piece, at, fault)
            self.wfile.write(piece)
            self.seen.sent += len(piece)
            at += len(piece)

    def _spoil(self, piece: bytes, at: int, fault: Fault) -> bytes:
        if fault.kind == "slow":
            self.server.proxy.ended.wait(len(piece) / fault.rate)
        if fault.kind in ("cut", "stall", "flip") and at <= fault.at < at + len(piece):
            here = fault.at - at
            if fault.kind == "flip":
                return _flipped(piece, here)
            self.wfile.write(piece[:here])
            self.seen.sent += here
            if fault.kind == "stall":
                self.server.proxy.ended.wait()
            self._reset()
        return piece


def _feed(connection: http.client.HTTPConnection, body: Iterable[bytes], chunked: bool) -> None:
    """Send a body on; what comes after the other side has stopped reading is thrown away."""
    reading = True
    for piece in body:
        if reading:
            try:
                connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            except (BrokenPipeError, ConnectionResetError):  # it has answered already
                reading = False
    if chunked and reading:
        connection.send(b"0\r\n\r\n")


def _flipped(piece: bytes, at: int) -> bytes:
    return piece[:at] + bytes([piece[at] ^ 0x40]) + piece[at + 1 :]
