"""One request over HTTP and its answer.

Made of the standard library alone, since the command line waits for whatever this imports.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit
from weakref import WeakSet

from pyollama import __version__
from pyollama.errors import ApiError, ServerUnreachable

_MAX_LINE = 64 << 20
"""Bytes. No frame of a stream comes near it; without a limit an answer could fill the memory."""


class Answer:
    """A status, and a body that is read once. It holds its connection until :meth:`close`."""

    def __init__(self, connection: HTTPConnection, response: HTTPResponse, place: str) -> None:
        self.status = response.status
        self.reason = response.reason
        self._connection = connection
        self._response = response
        self._place = place

    @property
    def is_error(self) -> bool:
        return self.status >= 400

    def read(self) -> bytes:
        """All of the body; nothing is left to close."""
        try:
            return self._response.read()
        except (OSError, HTTPException) as error:
            raise _broken(self._place, error) from error
        finally:
            self.close()

    def lines(self) -> Iterator[bytes]:
        try:
            while line := self._response.readline(_MAX_LINE):
                if len(line) == _MAX_LINE:
                    raise ApiError(f"{self._place} sends a line of more than {_MAX_LINE} bytes")
                yield line
        except (OSError, HTTPException) as error:
            raise _broken(self._place, error) from error

    def close(self) -> None:
        """May be called again."""
        self._response.close()
        self._connection.close()


class Transport:
    """Sends requests to ``base_url``, each over a connection of its own.

    ``connect_timeout`` is seconds; what comes after may take as long as a model needs. Proxies
    are those of the environment (``HTTP_PROXY``, ``HTTPS_PROXY``, ``NO_PROXY``).
    """

    def __init__(self, base_url: str, connect_timeout: float) -> None:
        self.base_url = base_url
        self._url = urlsplit(base_url)
        self._timeout = connect_timeout
        self._proxy = _proxy_for(self._url)
        self._open: WeakSet[Answer] = WeakSet()

    def close(self) -> None:
        """Close the answers that are not read to their end."""
        for answer in list(self._open):
            answer.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Raises :class:`ServerUnreachable` where nothing answers, and :class:`ApiError` where
        the connection breaks before the answer begins."""
        connection = self._connect()
        target = f"{self._url.path}{path}"
        sent = {"User-Agent": f"pyollama/{__version__}", **(headers or {})}
        if self._proxy is not None and self._url.scheme == "http":
            target = f"{self._url.scheme}://{self._url.netloc}{target}"
            sent |= _credentials(self._proxy)
        try:
            connection.request(method, target, body=body, headers=sent)
            answer = Answer(connection, connection.getresponse(), self.base_url)
        except (OSError, HTTPException) as error:
            connection.close()
            raise _broken(self.base_url, error) from error
        except BaseException:
            connection.close()
            raise
        self._open.add(answer)
        return answer

    def _connect(self) -> HTTPConnection:
        secure = self._url.scheme == "https"
        kind = HTTPSConnection if secure else HTTPConnection
        near = self._proxy or self._url
        port = near.port or (443 if near.scheme == "https" else 80)
        connection = kind(near.hostname or "", port, timeout=self._timeout)
        if self._proxy is not None and secure:
            host = self._url.hostname or ""
            connection.set_tunnel(host, self._url.port, _credentials(self._proxy))
        try:
            connection.connect()
        except (OSError, HTTPException) as error:
            connection.close()
            raise ServerUnreachable(f"no server answers at {self.base_url}: {error}") from error
        connection.sock.settimeout(None)
        return connection


def _proxy_for(url: SplitResult) -> SplitResult | None:
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies_environment, proxy_bypass

    proxies, host = getproxies_environment(), url.hostname or ""
    proxy = proxies.get(url.scheme) or proxies.get("all", "")
    if not proxy or _is_loopback(host) or proxy_bypass(host):
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1", "0.0.0.0", "::") or host.startswith("127.")


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _broken(place: str, error: Exception) -> ApiError:
    said = str(error) or type(error).__name__
    return ApiError(f"the connection to {place} broke: {said}")
