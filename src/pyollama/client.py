"""A client of the server's own HTTP API, for the command line and for programs.

Every call either returns decoded JSON or raises: :class:`~pyollama.errors.ServerUnreachable` when
nothing answers, :class:`~pyollama.errors.ApiError` when the server answers with an error, also in
the middle of a stream.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from pyollama.errors import ApiError
from pyollama.exchange import Answer, Transport

JSON = dict[str, Any]
Stream = Generator[JSON, None, None]
"""Objects of a streaming call; closing it gives the call up."""


class Client:
    """Synchronous, and fit for several threads; :meth:`close` or ``with`` ends what is open.

    ``base_url`` is ``scheme://host:port[/path]``. Answers may take as long as a model needs, so
    only connecting has a time limit (seconds).
    """

    def __init__(self, base_url: str, *, connect_timeout: float = 10.0) -> None:
        self.base_url = base_url.rstrip("/")
        self._transport = Transport(self.base_url, connect_timeout)

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
        """Give up the streams that are still open."""
        self._transport.close()

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

    def create(self, body: JSON) -> Stream:
        """Create a model; yields progress objects with a ``status``."""
        return self._stream("/api/create", body)

    def push(self, model: str, *, insecure: bool = False) -> Stream:
        """Push a model to the registry in its name; yields progress objects with a ``status``."""
        return self._stream("/api/push", {"model": model, "insecure": insecure})

    def pull(self, model: str, *, insecure: bool = False, limit_rate: int = 0) -> Stream:
        """Fetch a model from a registry; yields progress objects as :meth:`create`.

        ``limit_rate`` is bytes per second, 0 no limit.
        """
        body: JSON = {"model": model, "insecure": insecure, "limit_rate": limit_rate}
        return self._stream("/api/pull", body)

    def has_blob(self, digest: str) -> bool:
        """Whether the server's store already holds the blob ``sha256:...``."""
        answer = self._transport.send("HEAD", f"/api/blobs/{digest}")
        answer.close()
        return answer.status == HTTPStatus.OK

    def push_blob(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Upload a file's content under its digest."""
        answer = self._transport.send("POST", f"/api/blobs/{digest}", body=chunks)
        _checked(answer, answer.read())

    def offer_file(self, digest: str, path: Path) -> bool:
        """Let a server on this machine take a file itself; ``False`` if it does not."""
        headers = {"X-Pyollama-File": quote(str(path.absolute()))}
        answer = self._transport.send("POST", f"/api/blobs/{digest}", headers=headers)
        answer.close()
        return not answer.is_error

    # --- inference ----------------------------------------------------------------------------

    def generate(self, body: JSON) -> Stream:
        """Stream the frames of ``/api/generate``."""
        return self._stream("/api/generate", body)

    def chat(self, body: JSON) -> Stream:
        """Stream the frames of ``/api/chat``."""
        return self._stream("/api/chat", body)

    def embed(self, body: JSON) -> JSON:
        return self._json("POST", "/api/embed", body)

    def tokenize(self, model: str, text: str, *, add_special: bool = True) -> JSON:
        """``tokens``, their ``pieces`` and the ``count``.

        ``add_special`` puts those around them that the model was made with.
        """
        body: JSON = {"model": model, "text": text, "add_special": add_special}
        return self._json("POST", "/api/tokenize", body)

    # --- transport ----------------------------------------------------------------------------

    def _json(self, method: str, path: str, body: JSON | None = None) -> JSON:
        return self._decoded(self._request(method, path, body))

    def _request(self, method: str, path: str, body: JSON | None = None) -> bytes:
        answer = self._send(method, path, body)
        return _checked(answer, answer.read())

    def _send(self, method: str, path: str, body: JSON | None) -> Answer:
        if body is None:
            return self._transport.send(method, path)
        headers = {"Content-Type": "application/json"}
        return self._transport.send(method, path, body=json.dumps(body).encode(), headers=headers)

    def _stream(self, path: str, body: JSON) -> Stream:
        answer = self._send("POST", path, body)
        try:
            if answer.is_error:
                _checked(answer, answer.read(), with_status=True)
            for line in answer.lines():
                frame = self._decoded(line)
                if "error" in frame:
                    raise ApiError(str(frame["error"]))
                yield frame
        finally:
            answer.close()

    def _decoded(self, text: bytes) -> JSON:
        try:
            decoded = json.loads(text)
        except ValueError as error:
            raise ApiError(f"{self.base_url} sends what is no JSON: {error}") from error
        if not isinstance(decoded, dict):
            raise ApiError(f"{self.base_url} sends JSON that is no object")
        return decoded


def _checked(answer: Answer, content: bytes, *, with_status: bool = False) -> bytes:
    """``content``, unless the answer is an error."""
    if not answer.is_error:
        return content
    try:
        message = str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        message = content.decode(errors="replace").strip()
    status = f"{answer.status} {answer.reason}"
    text = f"{status}: {message}" if with_status else message
    raise ApiError(text or status, status=answer.status)
