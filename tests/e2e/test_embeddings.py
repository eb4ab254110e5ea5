"""Embeddings out of real models: any pooling, any length, any company."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.native import tiny

from pyollama import LLM, _native
from pyollama.engine.engine import Engine
from pyollama.engine.native_backend import NativeBackend
from pyollama.engine.spec import LoadSpec
from pyollama.errors import EngineError, UnsupportedCapability
from pyollama.types import EmbedRequest

N_CTX = 200
Pooling = gguf.PoolingType
Vectors = NDArray[np.float32]

ENCODERS: dict[str, Callable[[Path], Path]] = {
    "bert-mean": tiny.bert_like,
    "bert-cls": lambda path: tiny.bert_like(path, Pooling.CLS),
    "bert-rank": lambda path: tiny.bert_like(path, Pooling.RANK),
    "t5": lambda path: tiny.t5_like(path, decoder=False),
}
DECODERS: dict[str, Callable[[Path], Path]] = {
    "llama-mean": lambda path: tiny.llama_like(path, pooling=Pooling.MEAN),
    "llama-cls": lambda path: tiny.llama_like(path, pooling=Pooling.CLS),
    "llama-last": lambda path: tiny.llama_like(path, pooling=Pooling.LAST),
}
MAKERS = ENCODERS | DECODERS


@pytest.fixture(scope="module", params=MAKERS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name: str = request.param
    return MAKERS[name](tmp_path_factory.mktemp("model") / f"{name}.gguf")


@asynccontextmanager
async def engine_on(path: Path, n_ubatch: int = 64) -> AsyncIterator[Engine]:
    spec = LoadSpec(path=str(path), n_ctx=N_CTX, n_ubatch=n_ubatch, n_threads=1, embeddings=True)
    engine = await asyncio.to_thread(Engine.load, spec)
    try:
        yield engine
    finally:
        await engine.close()


async def embed(engine: Engine, name: str, inputs: list[list[int]]) -> Vectors:
    embedded = await engine.embed(EmbedRequest(name, inputs))
    found = np.frombuffer(embedded.vectors, np.float32).reshape(len(inputs), -1)
    assert found.shape[1] == embedded.dimensions == engine.info.n_embd
    return found


def text(n: int, length: int) -> list[int]:
    """Some text of that many tokens; ``n`` says which."""
    tokens: list[int] = np.random.default_rng(n).integers(5, 31, length).tolist()
    return tokens


def agree(some: Vectors, others: Vectors) -> bool:
    """Nearly the same, row by row; of a score there is only the value itself."""
    if some.shape[1] == 1:
        return np.allclose(some, others, rtol=1e-3, atol=1e-4)
    norms = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
    cosines = (some * others).sum(axis=1) / norms
    return bool(cosines.min() >= 0.9999) and np.allclose(
        np.linalg.norm(some, axis=1), np.linalg.norm(others, axis=1), rtol=1e-3
    )


async def test_vectors_do_not_depend_on_company_and_come_in_order(path: Path) -> None:
    inputs = [text(n, 1 + n % 24) for n in range(512)]
    chosen = range(0, 512, 73)
    async with engine_on(path, n_ubatch=256) as engine:
        together = await embed(engine, "all", inputs)
        alone = [await embed(engine, str(n), [inputs[n]]) for n in chosen]
        assert agree(together[list(chosen)], np.concatenate(alone))
        different = np.unique(together.round(4), axis=0)
        if path.stem != "llama-cls":  # which only looks at the first token
            assert len(different) > 450  # or agreeing would mean nothing


async def test_an_input_may_be_longer_than_a_micro_batch(path: Path) -> None:
    inputs = [text(1, N_CTX), text(2, 65), text(3, 128), text(4, 5)]
    async with engine_on(path) as engine:
        in_parts = await embed(engine, "parts", inputs)
    async with engine_on(path, n_ubatch=512) as engine:
        assert agree(in_parts, await embed(engine, "whole", inputs))


async def test_what_is_not_a_number_ends_only_the_request_it_belongs_to(tmp_path: Path) -> None:
    path, bad = tiny.bert_like(tmp_path / "bert.gguf"), 9
    reader = gguf.GGUFReader(path, "r+")
    (table,) = (tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    table.data[bad] = np.nan
    reader.data.flush()
    async with engine_on(path) as engine:
        answers = await asyncio.gather(
            engine.embed(EmbedRequest("bad", [[5, bad, 6], [7, 8]])),
            engine.embed(EmbedRequest("good", [[5, 6], [7, 8]])),
            return_exceptions=True,
        )
        assert isinstance(answers[0], EngineError)
        assert "input 0 is not finite" in str(answers[0])
        assert not isinstance(answers[1], BaseException)
        assert agree(
            np.frombuffer(answers[1].vectors, np.float32).reshape(2, -1),
            await embed(engine, "again", [[5, 6], [7, 8]]),
        )


async def test_a_model_for_embeddings_cannot_be_loaded_to_write(tmp_path: Path) -> None:
    path = tiny.bert_like(tmp_path / "bert.gguf")
    with pytest.raises(UnsupportedCapability):
        await asyncio.to_thread(Engine.load, LoadSpec(path=str(path), n_ctx=64))


def test_what_the_processor_computes_takes_no_memory_of_a_gpu(tmp_path: Path) -> None:
    """Also where weights are rearranged for special instructions, such as those of AMX."""
    plain, small = tiny.llama_like(tmp_path / "plain.gguf"), tmp_path / "small.gguf"
    _native.quantize(plain, small, "Q8_0", n_threads=2)
    backend = NativeBackend(LoadSpec(path=str(small), n_ctx=64, n_gpu_layers=0, n_threads=1))
    try:
        assert backend.info.size > 0
        assert backend.info.size_vram == 0
    finally:
        backend.close()


def test_scores_of_a_ranker_are_left_as_they_are(tmp_path: Path) -> None:
    path = tiny.bert_like(tmp_path / "ranker.gguf", Pooling.RANK)
    with LLM(path, n_threads=1) as llm:
        assert llm.info.pooling == "rank"
        scores = llm.embed(["hello world", "the cat sat", "hello cat"])
    assert scores.shape == (3, 1)
    assert len(np.unique(np.abs(scores).round(4))) == 3
