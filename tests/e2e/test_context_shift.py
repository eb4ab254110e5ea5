"""A context shift leaves in the cache what computing the rest anew would put there.

In the first layer keys and values only depend on the token and its position, so with a model of one
layer that is exact. In deeper layers they still carry what was dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.native import tiny
from tests.native.steps import last_logits

from pyollama._native import Context, Model
from pyollama.engine.backend import Batch
from pyollama.engine.engine import Engine
from pyollama.engine.native_backend import NativeBackend
from pyollama.engine.spec import LoadSpec
from pyollama.types import ContextShifted, Finished, GenerateRequest, SamplingParams, Tokens

N_CTX = 64
TEXT = [(13 * n + n * n) % 250 for n in range(60)]
NEXT = 77
GREEDY = SamplingParams(temperature=0.0)
CLEAR = 0.05
"""Margin between the two likeliest tokens from which on rounding cannot turn them around."""


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama_like(tmp_path_factory.mktemp("model") / "one.gguf", n_layer=1)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama_like(tmp_path_factory.mktemp("model") / "two.gguf")


def spec(path: Path) -> LoadSpec:
    return LoadSpec(path=str(path), n_ctx=N_CTX, n_slots=2, n_threads=1, type_k="f32", type_v="f32")


@contextmanager
def backend_on(path: Path) -> Iterator[NativeBackend]:
    backend = NativeBackend(spec(path))
    try:
        yield backend
    finally:
        backend.close()


def decode(backend: NativeBackend, tokens: list[int], start: int = 0, sequence: int = 0) -> None:
    count = len(tokens)
    backend.decode(
        Batch(
            np.array(tokens, np.int32),
            np.arange(start, start + count, dtype=np.int32),
            np.full(count, sequence, np.int32),
            np.arange(count) == count - 1,
        )
    )


def logprobs(backend: NativeBackend) -> NDArray[np.float32]:
    """Of every token, after the last row that was decoded."""
    n_vocab = backend.info.n_vocab
    return backend.token_logprobs([0] * n_vocab, range(n_vocab))


def afresh(path: Path, tokens: list[int]) -> NDArray[np.float32]:
    with backend_on(path) as backend:
        decode(backend, tokens)
        return logprobs(backend)


@pytest.mark.parametrize(("keep", "discard"), [(0, 30), (5, 20), (40, 1), (1, 58)])
def test_the_cache_is_that_of_what_is_left(shallow: Path, keep: int, discard: int) -> None:
    left = TEXT[:keep] + TEXT[keep + discard :]
    with backend_on(shallow) as backend:
        decode(backend, TEXT)
        backend.shift(0, keep, discard, len(TEXT))
        decode(backend, [NEXT], start=len(left))
        shifted = logprobs(backend)
    np.testing.assert_allclose(shifted, afresh(shallow, [*left, NEXT]), atol=0.01)


def test_deeper_layers_remember_what_was_dropped(deep: Path) -> None:
    with backend_on(deep) as backend:
        decode(backend, TEXT)
        backend.shift(0, 5, 20, len(TEXT))
        decode(backend, [NEXT], start=40)
        shifted = logprobs(backend)
    assert not np.allclose(shifted, afresh(deep, [*TEXT[:5], *TEXT[25:], NEXT]), atol=0.05)


def test_whoever_shares_the_cells_keeps_them(deep: Path) -> None:
    with backend_on(deep) as backend:
        decode(backend, TEXT)
        backend.copy(0, 1, len(TEXT))
        backend.shift(0, 5, 20, len(TEXT))
        decode(backend, [NEXT], start=40)
        decode(backend, [NEXT], start=len(TEXT), sequence=1)
        other = logprobs(backend)
    np.testing.assert_allclose(other, afresh(deep, [*TEXT, NEXT]), atol=1e-3)


async def generate(path: Path, request: GenerateRequest) -> list[object]:
    engine = await asyncio.to_thread(Engine.load, spec(path))
    try:
        return [event async for event in engine.generate(request)]
    finally:
        await engine.close()


def expected_shifts(n_prompt: int, n_keep: int, n_output: int) -> list[tuple[int, int]]:
    """Kept and dropped each time that the context is full and one more token is to be written."""
    keep = n_prompt if n_keep < 0 else n_keep
    shifts, length = [], n_prompt
    for _ in range(n_output):
        if length == N_CTX:
            shifts.append((keep, (length - 1 - keep) // 2))
            length -= shifts[-1][1]
        length += 1
    return shifts


@pytest.mark.parametrize("n_keep", [0, 4, -1])
async def test_what_is_reported_is_what_happens(shallow: Path, n_keep: int) -> None:
    request = GenerateRequest(
        "a", TEXT[:20], GREEDY, max_tokens=150, shift=True, n_keep=n_keep, ignore_eos=True
    )
    events = await generate(shallow, request)
    shifts = [event for event in events if isinstance(event, ContextShifted)]
    assert [(one.kept, one.discarded) for one in shifts] == expected_shifts(20, n_keep, 150)
    assert len(shifts) > 2
    end = events[-1]
    assert isinstance(end, Finished)
    assert (end.reason, end.limit) == ("length", "max_tokens")
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (20, 150)


async def test_the_answer_goes_on_as_from_what_is_left(shallow: Path) -> None:
    """Each token is the likeliest after what is left, computed from nothing."""
    special = tuple(range(250))
    request = GenerateRequest(
        "a", TEXT[:20], GREEDY, max_tokens=120, shift=True, n_keep=3, ignore_eos=True,
        preserved_tokens=special,
    )  # fmt: skip
    seen, compared, written = list(request.tokens), 0, 0
    with Model(shallow) as model:
        for event in await generate(shallow, request):
            if isinstance(event, ContextShifted):
                del seen[event.kept : event.kept + event.discarded]
            elif isinstance(event, Tokens):
                for token in event.tokens:
                    with Context(model, n_ctx=N_CTX, n_threads=1) as context:
                        logits = last_logits(context, seen)
                    second, first = np.sort(logits)[-2:]
                    if first - second > CLEAR:
                        assert token == logits.argmax()
                        compared += 1
                    seen.append(token)
                    written += 1
    assert written > 110  # pieces of a last character may be missing
    assert compared > 0.8 * written
