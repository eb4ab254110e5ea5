"""Vectors of texts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyollama.errors import ContextLengthExceeded, EmbeddingsUnsupported, InvalidRequest
from pyollama.runtime.pool import ModelPool
from pyollama.service.generation import next_id
from pyollama.service.library import Resolver, find_to_embed
from pyollama.service.options import merge
from pyollama.service.texts import TextSides
from pyollama.service.vocabulary import Vocabulary
from pyollama.types import Embedded, EmbeddingRequest, EmbedRequest, Truncated

_SMALLEST_NORM = 1e-12


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One row per text; no rows for a request that only loads the model. Times are nanoseconds.

    ``truncated`` counts the tokens of all texts that were too long, if there were any.
    """

    vectors: NDArray[np.float32]
    prompt_tokens: int = 0
    total_duration: int = 0
    load_duration: int = 0
    truncated: Truncated | None = None


class EmbedService:
    """Embeds texts with models that were made for it."""

    def __init__(self, store: Resolver, pool: ModelPool, texts: TextSides) -> None:
        self._store = store
        self._pool = pool
        self._texts = texts

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        started = time.monotonic_ns()
        model = await find_to_embed(self._store, request.model, files=request.files)
        options = merge(model.params, request.options)
        async with self._pool.lease(model, options.load, request.keep_alive) as loaded:
            ready = time.monotonic_ns()
            if not request.inputs:
                return Embeddings(np.empty((0, 0), np.float32))
            if not loaded.engine.info.embeddings:
                raise EmbeddingsUnsupported(
                    f'"{request.model}" does not support embeddings: it was made to write text',
                    model=request.model,
                )
            if loaded.engine.info.pooling == "rank":
                raise EmbeddingsUnsupported(
                    f'"{request.model}" does not support embeddings: it scores pairs of texts',
                    model=request.model,
                )
            vocabulary = await self._texts.vocabulary(model)
            inputs, truncated = await asyncio.to_thread(
                _tokenize, vocabulary, request.inputs, loaded.n_ctx, request.truncate
            )
            embedded = await loaded.engine.embed(EmbedRequest(next_id(), inputs))
        return Embeddings(
            await asyncio.to_thread(_finish, embedded, request.dimensions, request.normalize),
            embedded.usage.prompt_tokens,
            time.monotonic_ns() - started,
            ready - started,
            truncated,
        )


def _tokenize(
    vocabulary: Vocabulary, texts: Sequence[str], n_ctx: int, truncate: bool
) -> tuple[list[list[int]], Truncated | None]:
    dropped = kept = 0
    inputs = vocabulary.tokenize_all(texts)
    for index, (text, tokens) in enumerate(zip(texts, inputs, strict=True)):
        if len(tokens) > n_ctx:
            if not truncate:
                raise ContextLengthExceeded(
                    "the input length exceeds the context length "
                    f"(the input has {len(tokens)} tokens, the context {n_ctx})",
                    prompt_tokens=len(tokens),
                    context_length=n_ctx,
                )
            inputs[index] = _cut(vocabulary, text, tokens, n_ctx)
            dropped += len(tokens) - len(inputs[index])
            kept += len(inputs[index])
    return inputs, Truncated(dropped, kept) if dropped else None


def _cut(vocabulary: Vocabulary, text: str, tokens: list[int], n_ctx: int) -> list[int]:
    """``tokens`` shortened to ``n_ctx``; the special ones around the text stay."""
    bare = len(vocabulary.tokenize(text, add_special=False, parse_special=False))
    special = len(tokens) - bare
    room = n_ctx - special
    if room <= 0:
        raise ContextLengthExceeded(
            "input after truncation exceeds maximum context length",
            prompt_tokens=len(tokens),
            context_length=n_ctx,
        )
    front = 1 if vocabulary.add_bos and special else 0
    return tokens[: front + room] + tokens[front + bare :]


def _finish(embedded: Embedded, dimensions: int, normalize: bool) -> NDArray[np.float32]:
    vectors = np.frombuffer(embedded.vectors, np.float32).reshape(-1, embedded.dimensions)
    if not np.isfinite(vectors).all():
        raise InvalidRequest("embedding contains NaN or Inf values", field="input")
    if normalize:
        vectors = _normalized(vectors)
    if 0 < dimensions < embedded.dimensions:
        vectors = _normalized(vectors[:, :dimensions])
    return vectors


def _normalized(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    normalized: NDArray[np.float32] = vectors / np.maximum(norms, _SMALLEST_NORM)
    return normalized
