"""How to ask each kind of server for a completion or for embeddings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import httpx
import msgspec

JSON = dict[str, Any]
_TEMPERATURE = 0.8


class Dialect(Protocol):
    """Speaks to one server. Completions are raw: no chat template comes in between."""

    def complete(
        self, http: httpx.AsyncClient, prompt: str, max_tokens: int
    ) -> AsyncIterator[tuple[str, int]]:
        """Yields (text, tokens so far) as pieces arrive; the last count is the server's own."""

    async def embed(self, http: httpx.AsyncClient, texts: tuple[str, ...]) -> int:
        """Number of vectors that came back."""


class Ollama:
    """``/api/generate`` and ``/api/embed``: pyollama and Ollama."""

    def __init__(self, model: str) -> None:
        self._model = model

    async def complete(
        self, http: httpx.AsyncClient, prompt: str, max_tokens: int
    ) -> AsyncIterator[tuple[str, int]]:
        body = {
            "model": self._model,
            "prompt": prompt,
            "raw": True,
            "options": {"num_predict": max_tokens, "temperature": _TEMPERATURE},
        }
        n = 0
        async with http.stream("POST", "/api/generate", json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                frame: JSON = msgspec.json.decode(line)
                if "error" in frame:
                    raise RuntimeError(frame["error"])
                n = frame.get("eval_count", n + 1)
                yield frame["response"], n

    async def embed(self, http: httpx.AsyncClient, texts: tuple[str, ...]) -> int:
        response = await http.post("/api/embed", json={"model": self._model, "input": texts})
        response.raise_for_status()
        return len(msgspec.json.decode(response.content)["embeddings"])


class LlamaServer:
    """``/completion`` and ``/v1/embeddings`` of llama.cpp's own server."""

    async def complete(
        self, http: httpx.AsyncClient, prompt: str, max_tokens: int
    ) -> AsyncIterator[tuple[str, int]]:
        body = {
            "prompt": prompt,
            "stream": True,
            "n_predict": max_tokens,
            "temperature": _TEMPERATURE,
            "top_k": 40,
            "top_p": 0.9,
            "min_p": 0.0,
            "cache_prompt": True,
        }
        n = 0
        async with http.stream("POST", "/completion", json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    frame: JSON = msgspec.json.decode(line.removeprefix("data: "))
                    n = frame.get("tokens_predicted") or n + 1
                    yield frame["content"], n

    async def embed(self, http: httpx.AsyncClient, texts: tuple[str, ...]) -> int:
        response = await http.post("/v1/embeddings", json={"input": texts})
        response.raise_for_status()
        return len(msgspec.json.decode(response.content)["data"])
