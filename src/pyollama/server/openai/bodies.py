"""Bodies of requests, which clients of this dialect may compress."""

from __future__ import annotations

import io

import zstandard
from starlette.requests import Request

from pyollama.errors import InvalidRequest
from pyollama.server.body import T, decode_body

_MOST_BYTES = 20 << 20
"""How long a compressed body may become; as in Ollama, like the next one."""

_LARGEST_WINDOW = 8 << 20


async def read(request: Request, schema: type[T]) -> T:
    """The body as ``schema``, or :class:`InvalidRequest`."""
    body = await request.body()
    if request.headers.get("content-encoding", "").strip().lower() == "zstd":
        body = _decompressed(body)
    return decode_body(body, schema)


def _decompressed(body: bytes) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
    try:
        with decompressor.stream_reader(io.BytesIO(body)) as reader:
            found = reader.read(_MOST_BYTES + 1)
    except zstandard.ZstdError as error:
        raise InvalidRequest(f"the body is not zstd: {error}", field="body") from error
    if len(found) > _MOST_BYTES:
        raise InvalidRequest(
            f"a compressed body must not become longer than {_MOST_BYTES >> 20} MiB", field="body"
        )
    return found
