"""Sockets for a session: peers are looked at, all can be cut, and they read a lot at a time.

Connections are httpcore's, whose network backend is the place for that. Requests and answers are
httpx's, without its client, which would follow cookies and redirects on its own account.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpcore
import httpx

_READ = 256 << 10
"""Bytes asked of a socket at a time. Each answer costs a walk through all layers of Python."""

_RECORD = 16 << 10
"""The most that one record of TLS holds."""

CheckPeer = Callable[[str, int, str], None]
"""Given host, port and IP address, raises if nothing must be sent there."""


class Sockets:
    """All sockets of a session. Safe to use from several threads."""

    def __init__(self) -> None:
        self._open: set[Any] = set()
        self._lock = threading.Lock()
        self._cut = False

    def add(self, socket: Any) -> None:
        with self._lock:
            self._open = {each for each in self._open if each.fileno() >= 0}
            self._open.add(socket)
            if self._cut:
                _shut_down(socket)

    def cut(self) -> None:
        """Wake up whoever waits for one of the sockets, now and later, with an error."""
        with self._lock:
            self._cut = True
            for each in self._open:
                _shut_down(each)


class Wire:
    """Connections to one kind of place: straight, or over ``proxy`` (a URL).

    ``check_peer`` is asked about every peer.
    """

    def __init__(
        self,
        sockets: Sockets,
        check_peer: CheckPeer | None,
        context: ssl.SSLContext | None,
        proxy: str | None,
    ) -> None:
        backend = _Backend(sockets, check_peer)
        if proxy is None:
            self._pool = httpcore.ConnectionPool(
                context, max_connections=None, max_keepalive_connections=64, network_backend=backend
            )
        else:
            self._pool = _proxy_pool(httpx.URL(proxy), context, backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, its body unread; :class:`httpx.TransportError` if there is none."""
        url = request.url
        assert isinstance(request.stream, httpx.SyncByteStream)
        wanted = httpcore.Request(
            request.method,
            httpcore.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _translated():
            answer = self._pool.handle_request(wanted)
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        with _translated():
            yield from self._answer.iter_stream()

    def close(self) -> None:
        with _translated():
            self._answer.close()


class _Backend(httpcore.NetworkBackend):
    def __init__(self, sockets: Sockets, check_peer: CheckPeer | None) -> None:
        self._inner = httpcore.SyncBackend()
        self._sockets = sockets
        self._check_peer = check_peer

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        socket = stream.get_extra_info("socket")
        try:
            if self._check_peer is not None:
                self._check_peer(host, port, str(socket.getpeername()[0]))
        except BaseException:
            stream.close()
            raise
        return _Stream(stream, self._sockets)


class _Stream(httpcore.NetworkStream):
    """``layers`` of TLS lie on the connection; there are two within an encrypted proxy's tunnel."""

    def __init__(self, inner: httpcore.NetworkStream, sockets: Sockets, layers: int = 0) -> None:
        self._inner = inner
        self._sockets = sockets
        self._layers = layers
        self._socket = inner.get_extra_info("socket")
        sockets.add(self._socket)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._layers != 1:
            return self._inner.read(_READ, timeout)
        pieces = [self._inner.read(_RECORD, timeout)]
        return b"".join(pieces + self._waiting_records()) if pieces[0] else b""

    def _waiting_records(self) -> list[bytes]:
        """TLS gives out a record at a time. What has come already is taken along."""
        pieces: list[bytes] = []
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):  # nothing more is there, or an error for the next read
            while len(pieces) < _READ // _RECORD and (piece := self._socket.recv(_RECORD)):
                pieces.append(piece)
        return pieces

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(inner, self._sockets, self._layers + 1)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _proxy_pool(
    proxy: httpx.URL, context: ssl.SSLContext | None, backend: httpcore.NetworkBackend
) -> httpcore.HTTPProxy:
    if proxy.scheme not in ("http", "https"):
        raise ValueError(f"proxies of the kind {proxy.scheme} are not supported")
    user = (proxy.username.encode(), proxy.password.encode()) if proxy.username else None
    return httpcore.HTTPProxy(
        httpcore.URL(scheme=proxy.raw_scheme, host=proxy.raw_host, port=proxy.port, target=b"/"),
        proxy_auth=user,
        ssl_context=context,
        proxy_ssl_context=context if proxy.scheme == "https" else None,
        max_connections=None,
        max_keepalive_connections=64,
        network_backend=backend,
    )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The same errors under httpx's names."""
    try:
        yield
    except (
        httpcore.NetworkError,
        httpcore.TimeoutException,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
    ) as error:
        found = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise found(str(error)) from error


def _shut_down(socket: Any) -> None:
    with contextlib.suppress(OSError):
        socket.shutdown(2)  # both directions
