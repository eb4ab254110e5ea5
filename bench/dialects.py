"""How to ask each kind of server for a completion or for embeddings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol

import msgspec

from bench.http import Http

JSON = dict[str, Any]
TEMPERATURE = 0.8
SAMPLING = {"temperature": TEMPERATURE, "top_k": 40, "top_p": 0.9, "min_p": 0.0}
"""How tokens are chosen: by the defaults of pyollama and Ollama, said to those that have others."""


class Piece(NamedTuple):
    """A piece of an answer as it arrives.

    ``n_tokens`` is how many tokens there are so far; the last piece has the server's own count, and
    in ``usage`` what else the server says about the request.
    """

    text: str
    n_tokens: int
    usage: JSON | None = None


class Dialect(Protocol):
    """Speaks to one server. Completions are raw: no chat template comes in between."""

    def complete(self, prompt: str, max_tokens: int) -> AsyncGenerator[Piece, None]:
        """Closing the generator cancels the request."""

    async def embed(self, texts: tuple[str, ...]) -> int:
        """Number of vectors that came back."""

    async def close(self) -> None: ...


class Ollama:
    """``/api/generate`` and ``/api/embed``: pyollama and Ollama."""

    def __init__(self, base_url: str, model: str, *, temperature: float = TEMPERATURE) -> None:
        self._http = Http(base_url)
        self._model = model
        self._temperature = temperature

    async def complete(self, prompt: str, max_tokens: int) -> AsyncGenerator[Piece, None]:
        body = {
            "model": self._model,
            "prompt": prompt,
            "raw": True,
            "options": {"num_predict": max_tokens, "temperature": self._temperature},
        }
        n = 0
        async with aclosing(self._http.lines("/api/generate", body)) as lines:
            async for line in lines:
                frame: JSON = msgspec.json.decode(line)
                if "error" in frame:
                    raise RuntimeError(frame["error"])
                n = frame.get("eval_count", n + 1)
                yield Piece(frame["response"], n, frame if frame["done"] else None)

    async def embed(self, texts: tuple[str, ...]) -> int:
        body = {"model": self._model, "input": texts}
        return len((await self._http.post("/api/embed", body))["embeddings"])

    async def close(self) -> None:
        await self._http.close()


class LlamaServer:
    """``/completion`` and ``/v1/embeddings`` of llama.cpp's own server."""

    def __init__(self, base_url: str) -> None:
        self._http = Http(base_url)

    async def complete(self, prompt: str, max_tokens: int) -> AsyncGenerator[Piece, None]:
        body = {
            "prompt": prompt,
            "stream": True,
            "n_predict": max_tokens,
            **SAMPLING,
            "cache_prompt": True,
        }
        n = 0
        async with aclosing(_events(self._http, "/completion", body)) as frames:
            async for frame in frames:
                n = frame.get("tokens_predicted") or n + 1
                yield Piece(frame["content"], n, frame if frame["stop"] else None)

    async def embed(self, texts: tuple[str, ...]) -> int:
        return len((await self._http.post("/v1/embeddings", {"input": texts}))["data"])

    async def close(self) -> None:
        await self._http.close()


class OpenAI:
    """``/v1/completions`` and ``/v1/embeddings``: the server of llama-cpp-python."""

    def __init__(self, base_url: str) -> None:
        self._http = Http(base_url)

    async def complete(self, prompt: str, max_tokens: int) -> AsyncGenerator[Piece, None]:
        body = {
            "prompt": prompt,
            "stream": True,
            "max_tokens": max_tokens,
            **SAMPLING,
        }
        n = 0
        async with aclosing(_events(self._http, "/v1/completions", body)) as frames:
            async for frame in frames:
                # Pieces that a character was waiting for come as one, and no count is streamed.
                choice = frame["choices"][0]
                n += bool(choice["text"])
                yield Piece(choice["text"], n, frame if choice["finish_reason"] else None)

    async def embed(self, texts: tuple[str, ...]) -> int:
        return len((await self._http.post("/v1/embeddings", {"input": texts}))["data"])

    async def close(self) -> None:
        await self._http.close()


async def _events(http: Http, path: str, body: JSON) -> AsyncGenerator[JSON, None]:
    """The objects of a stream of server-sent events."""
    async with aclosing(http.lines(path, body)) as lines:
        async for line in lines:
            if line.startswith(b"data: {"):
                yield msgspec.json.decode(line.removeprefix(b"data: "))
