"""The engine in this process, without worker and HTTP, asked like a server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from itertools import count

import msgspec

from bench.dialects import TEMPERATURE, Piece
from bench.servers import Server, Wanted
from pyollama import _native
from pyollama.config import Settings
from pyollama.engine.engine import Engine
from pyollama.engine.native_backend import load
from pyollama.engine.spec import LoadSpec
from pyollama.llm.source import find_model
from pyollama.runtime.devices import hardware
from pyollama.runtime.facts import ModelFacts
from pyollama.runtime.fit import Policy, Wish, fit
from pyollama.types import (
    EmbedRequest,
    Finished,
    GenerateRequest,
    LoadOptions,
    SamplingParams,
    Tokens,
    Usage,
)

DEFAULT_CONTEXT = 4096
_ids = (f"bench-{n}" for n in count())


class InProcess:
    """A :class:`~bench.dialects.Dialect` on an engine; answers never end before ``max_tokens``."""

    def __init__(self, engine: Engine, model: _native.Model) -> None:
        self.engine = engine
        self._model = model

    def tokens(self, text: str) -> list[int]:
        ids: list[int] = self._model.tokenize(text).tolist()
        return ids

    async def complete(self, prompt: str, max_tokens: int) -> AsyncGenerator[Piece, None]:
        n = 0
        async with aclosing(self.go_on(self.tokens(prompt), max_tokens)) as events:
            async for event in events:
                if isinstance(event, Tokens):
                    n += len(event.tokens)
                    yield Piece(event.text, n)
                else:
                    yield Piece("", event.completion_tokens, msgspec.structs.asdict(event))

    async def go_on(
        self, tokens: Sequence[int], max_tokens: int
    ) -> AsyncGenerator[Tokens | Usage, None]:
        """The same on token ids; the last one is what it cost."""
        request = GenerateRequest(
            id=next(_ids),
            tokens=list(tokens),
            sampling=SamplingParams(temperature=TEMPERATURE),
            max_tokens=max_tokens,
            ignore_eos=True,
        )
        async with aclosing(self.engine.generate(request)) as events:
            async for event in events:
                if isinstance(event, Tokens):
                    yield event
                elif isinstance(event, Finished):
                    yield event.usage

    async def embed(self, texts: tuple[str, ...]) -> int:
        inputs = [self.tokens(text) for text in texts]
        embedded = await self.engine.embed(EmbedRequest(next(_ids), inputs))
        return len(embedded.vectors) // (4 * embedded.dimensions)

    async def close(self) -> None:
        """The engine belongs to whoever loaded it."""


def spec_of(wanted: Wanted) -> LoadSpec:
    """How the server would load the model."""
    stored = find_model(wanted.model, Settings())
    wish = Wish(
        path=str(wanted.model),
        adapters=(),
        n_ctx=wanted.n_ctx or DEFAULT_CONTEXT,
        automatic=not wanted.n_ctx,
        options=LoadOptions(num_thread=wanted.threads),
    )
    facts = ModelFacts.read(stored.metadata, wanted.model.stat().st_size)
    return fit(facts, wish, Policy(num_parallel=wanted.parallel), hardware()).spec


@contextmanager
def loaded(wanted: Wanted) -> Iterator[InProcess]:
    """An engine with the model in it, freed at the end of ``with``. Not for use in coroutines."""
    backend = load(spec_of(wanted))
    engine = Engine(backend)
    try:
        yield InProcess(engine, backend.model)
    finally:
        asyncio.run(engine.close())


@contextmanager
def engine(wanted: Wanted) -> Iterator[Server]:
    """The contender ``engine``."""
    with loaded(wanted) as dialect:
        yield Server("engine", "", lambda: dialect, os.getpid(), ())
