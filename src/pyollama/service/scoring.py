"""How likely a text is, and how well texts answer a question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from pyollama.chat.prompt import check_length, prompt_tokens
from pyollama.engine.interface import EngineLike
from pyollama.errors import EngineError, InvalidRequest, UnsupportedCapability
from pyollama.runtime.pool import ModelPool
from pyollama.service.generation import next_id
from pyollama.service.library import Resolver, find_to_run
from pyollama.service.options import Options, merge
from pyollama.service.texts import TextSides
from pyollama.service.vocabulary import Vocabulary
from pyollama.store.model import StoredModel
from pyollama.types import (
    EmbedRequest,
    Finished,
    GenerateRequest,
    RerankRequest,
    ScoreRequest,
    Usage,
)

_TEMPLATE = "tokenizer.chat_template.rerank"
"""Where a GGUF file says how a pair of texts is written, with {query} and {document} in it."""


@dataclass(frozen=True, slots=True)
class TextScore:
    """``logprobs`` are natural logarithms, one for each of ``tokens``.

    The first one is ``None`` where nothing stands before it.
    """

    tokens: list[int]
    pieces: list[str]
    logprobs: list[float | None]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Ranking:
    """``scores`` are the classifier's, one for each document, in their order."""

    scores: list[float]
    prompt_tokens: int


class ScoringService:
    """Scores texts with stored models."""

    def __init__(self, store: Resolver, pool: ModelPool, texts: TextSides) -> None:
        self._store = store
        self._pool = pool
        self._texts = texts

    async def score(self, request: ScoreRequest) -> TextScore:
        """The log-probabilities of ``request.text`` after ``request.prompt``."""
        model = await find_to_run(self._store, request.model, files=request.files)
        if "completion" not in self._texts.capabilities(model):
            raise UnsupportedCapability(
                f'"{request.model}" does not support score', model=request.model
            )
        options = merge(model.params, request.options)
        vocabulary = await self._texts.vocabulary(model)
        before, tokens = await asyncio.to_thread(_scored, vocabulary, request.prompt, request.text)
        async with self._pool.lease(model, options.load, request.keep_alive) as loaded:
            check_length([*before, *tokens], loaded.n_ctx)
            end = await _read(loaded.engine, [*before, *tokens], options)
        found: list[float | None] = np.frombuffer(end.prompt_logprobs, np.float32).tolist()
        logprobs = found[len(before) - 1 :] if before else [None, *found]
        pieces = [vocabulary.token_text(token) for token in tokens]
        return TextScore(tokens, pieces, logprobs, end.usage)

    async def rerank(self, request: RerankRequest) -> Ranking:
        """How well each of ``request.documents`` answers ``request.query``."""
        model = await find_to_run(self._store, request.model, files=request.files)
        options = merge(model.params, request.options)
        async with self._pool.lease(model, options.load, request.keep_alive) as loaded:
            if loaded.engine.info.pooling != "rank":
                raise UnsupportedCapability(
                    f'"{request.model}" does not support rerank', model=request.model
                )
            vocabulary = await self._texts.vocabulary(model)
            pairs = await asyncio.to_thread(
                _pairs, model, vocabulary, request.query, request.documents
            )
            for pair in pairs:
                check_length(pair, loaded.n_ctx + 1)  # there is no answer to leave room for
            ranked = await loaded.engine.embed(EmbedRequest(next_id(), pairs))
        rows = np.frombuffer(ranked.vectors, np.float32).reshape(len(pairs), ranked.dimensions)
        return Ranking(rows[:, 0].tolist(), ranked.usage.prompt_tokens)


def _scored(vocabulary: Vocabulary, prompt: str, text: str) -> tuple[list[int], list[int]]:
    """What is given, and what is scored."""
    if prompt:
        tokens = vocabulary.tokenize(text, add_special=False, parse_special=True)
        before = prompt_tokens(prompt, vocabulary)
    else:
        tokens = prompt_tokens(text, vocabulary)
        front = 1 if vocabulary.add_bos else 0
        before, tokens = tokens[:front], tokens[front:]
    if not tokens:
        raise InvalidRequest("text: there is nothing to score", field="text")
    return before, tokens


async def _read(engine: EngineLike, tokens: list[int], options: Options) -> Finished:
    request = GenerateRequest(
        next_id(), tokens, max_tokens=0, prompt_logprobs=True, adapters=options.adapters
    )
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            if isinstance(event, Finished):
                return event
    raise EngineError("the engine ended a score without saying how")


def _pairs(
    model: StoredModel, vocabulary: Vocabulary, query: str, documents: Sequence[str]
) -> list[list[int]]:
    """The tokens of ``query`` with each of ``documents``, as a classifier reads them."""
    template = model.metadata.get(_TEMPLATE)
    if isinstance(template, str):
        head, tail = (_filled(part, query) for part in _halves(template))
        return [
            vocabulary.tokenize(f"{head}{text}{tail}", add_special=False, parse_special=True)
            for text in documents
        ]
    native = vocabulary.native
    around = vocabulary.tokenize("", add_special=True, parse_special=False)
    front, end = around[: native.add_bos], around[native.add_bos :]
    between = list(end)
    if native.add_sep and (native.add_eos or not end):
        between.append(native.sep)
    asked = [*front, *_plain(vocabulary, query), *between]
    return [[*asked, *_plain(vocabulary, text), *end] for text in documents]


def _halves(template: str) -> tuple[str, str]:
    """What stands before and after the document."""
    before, _, after = template.partition("{document}")
    return before, after


def _filled(part: str, query: str) -> str:
    return part.replace("{query}", query)


def _plain(vocabulary: Vocabulary, text: str) -> list[int]:
    return vocabulary.tokenize(text, add_special=False, parse_special=False)
