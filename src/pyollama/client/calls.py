"""A client of the server's own HTTP API, for the command line and for programs.

Every call either returns decoded JSON or raises: :class:`~pyollama.errors.ServerUnreachable` when
nothing answers, :class:`~pyollama.errors.ApiError` when the server answers with an error, also in
the middle of a stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from pyollama.errors import ApiError, ServerUnreachable

JSON = dict[str, Any]


class Client:
    """Synchronous; one connection pool, closed by :meth:`close` or at the end of ``with``.

    ``base_url`` is ``scheme://host:port[/path]``. Answers may take as long as a model needs, so
    only connecting has a time limit (seconds).
    """

    def __init__(self, base_url: str, *, connect_timeout: float = 10.0) -> None:
        self.base_url = base_url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.base_url, timeout=httpx.Timeout(None, connect=connect_timeout)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # --- models -------------------------------------------------------------------------------

    def ping(self) -> None:
        """Return when a server answers; raise :class:`ServerUnreachable` when none does."""
        self._request("HEAD", "/")

    def version(self) -> str:
        return str(self._json("GET", "/api/version")["version"])

    def models(self) -> list[JSON]:
        """All models in the store, newest first."""
        return list(self._json("GET", "/api/tags")["models"])

    def running(self) -> list[JSON]:
        """The models that are in memory now."""
        return list(self._json("GET", "/api/ps")["models"])

    def show(self, model: str, *, verbose: bool = False) -> JSON:
        return self._json("POST", "/api/show", {"model": model, "verbose": verbose})

    def copy(self, source: str, destination: str) -> None:
        self._request("POST", "/api/copy", {"source": source, "destination": destination})

    def delete(self, model: str) -> None:
        self._request("DELETE", "/api/delete", {"model": model})

    def unload(self, model: str) -> None:
        self._json("POST", "/api/generate", {"model": model, "keep_alive": 0, "stream": False})

    def create(self, body: JSON) -> Iterator[JSON]:
        """Create a model; yields progress objects with a ``status``."""
        return self._stream("/api/create", body)

    def push(self, model: str, *, insecure: bool = False) -> Iterator[JSON]:
        """Push a model to the registry in its name; yields progress objects with a ``status``."""
        return self._stream("/api/push", {"model": model, "insecure": insecure})

    def pull(self, model: str, *, insecure: bool = False, limit_rate: int = 0) -> Iterator[JSON]:
        """Fetch a model from a registry; yields progress objects as :meth:`create`.

        ``limit_rate`` is bytes per second, 0 no limit.
        """
        body: JSON = {"model": model, "insecure": insecure, "limit_rate": limit_rate}
        return self._stream("/api/pull", body)

    def has_blob(self, digest: str) -> bool:
        """Whether the server's store already holds the blob ``sha256:...``."""
        response = self._send(self._http.build_request("HEAD", f"/api/blobs/{digest}"))
        return response.status_code == HTTPStatus.OK

    def push_blob(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Upload a file's content under its digest."""
        request = self._http.build_request("POST", f"/api/blobs/{digest}", content=chunks)
        _check(self._send(request))

    def offer_file(self, digest: str, path: Path) -> bool:
        """Let a server on this machine take a file itself; ``False`` if it does not."""
        headers = {"X-Pyollama-File": quote(str(path.absolute()))}
        request = self._http.build_request("POST", f"/api/blobs/{digest}", headers=headers)
        return self._send(request).is_success

    # --- inference ----------------------------------------------------------------------------

    def generate(self, body: JSON) -> Iterator[JSON]:
        """Stream the frames of ``/api/generate``."""
        return self._stream("/api/generate", body)

    def chat(self, body: JSON) -> Iterator[JSON]:
        """Stream the frames of ``/api/chat``."""
        return self._stream("/api/chat", body)

    def embed(self, body: JSON) -> JSON:
        return self._json("POST", "/api/embed", body)

    # --- transport ----------------------------------------------------------------------------

    def _json(self, method: str, path: str, body: JSON | None = None) -> JSON:
        answer: JSON = self._request(method, path, body).json()
        return answer

    def _request(self, method: str, path: str, body: JSON | None = None) -> httpx.Response:
        return _check(self._send(self._http.build_request(method, path, json=body)))

    def _send(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        try:
            return self._http.send(request, stream=stream)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ServerUnreachable(f"no server answers at {self.base_url}: {error}") from error
        except httpx.TransportError as error:
            raise ApiError(f"the connection to {self.base_url} broke: {error}") from error

    def _stream(self, path: str, body: JSON) -> Iterator[JSON]:
        response = self._send(self._http.build_request("POST", path, json=body), stream=True)
        try:
            if response.is_error:
                response.read()
                _check(response, with_status=True)
            for line in response.iter_lines():
                frame: JSON = json.loads(line)
                if "error" in frame:
                    raise ApiError(str(frame["error"]))
                yield frame
        except httpx.TransportError as error:
            raise ApiError(f"the connection to {self.base_url} broke: {error}") from error
        finally:
            response.close()


def _check(response: httpx.Response, *, with_status: bool = False) -> httpx.Response:
    if not response.is_error:
        return response
    try:
        message = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        message = response.text.strip()
    status = f"{response.status_code} {response.reason_phrase}"
    text = f"{status}: {message}" if with_status else message
    raise ApiError(text or status, status=response.status_code)
