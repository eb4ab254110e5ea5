from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.runtime.fakes import DEFAULT, FakeLoader, stored

from pyollama.errors import Busy, EngineClosed, ModelLoadError, OutOfMemory
from pyollama.runtime.pool import LoadedModel, ModelPool
from pyollama.store.model import StoredModel
from pyollama.types import LoadOptions

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ANY = LoadOptions()
A, B, C = stored("a"), stored("b"), stored("c")


@pytest.fixture
def loader() -> FakeLoader:
    return FakeLoader()


@pytest.fixture
async def pool(loader: FakeLoader) -> AsyncIterator[ModelPool]:
    pool = ModelPool(loader, keep_alive=60, max_loaded=3, max_queue=5, now=lambda: NOW)
    yield pool
    loader.gate.set()
    await pool.close()
    assert not pool.ps()
    assert all(engine.closed == 1 for engine in loader.engines), "each is closed just once"


async def use(
    pool: ModelPool,
    model: StoredModel,
    options: LoadOptions = ANY,
    keep_alive: float | None = None,
) -> LoadedModel:
    async with pool.lease(model, options, keep_alive) as loaded:
        return loaded


def context(num_ctx: int) -> LoadOptions:
    return LoadOptions(num_ctx=num_ctx)


def names(pool: ModelPool) -> list[str]:
    return [row.model.name.short for row in pool.ps()]


async def settle() -> None:
    """Let everything run that does not wait for time to pass."""
    for _ in range(20):
        await asyncio.sleep(0.001)


async def hold(stack: AsyncExitStack, pool: ModelPool, model: StoredModel) -> LoadedModel:
    return await stack.enter_async_context(pool.lease(model, ANY))


# --- loading ------------------------------------------------------------------------------------


async def test_many_requests_share_one_load(pool: ModelPool, loader: FakeLoader) -> None:
    loader.gate.clear()
    requests = [asyncio.create_task(use(pool, A)) for _ in range(5)]
    await settle()
    assert loader.started == ["/a.gguf"]
    assert not pool.ps(), "listed only once it is loaded"
    loader.gate.set()
    loaded = await asyncio.gather(*requests)
    assert {each.engine for each in loaded} == {loader.engines[0]}
    assert all(each.load_duration > 0 for each in loaded)


async def test_names_of_the_same_weights_share_a_model(pool: ModelPool) -> None:
    await use(pool, stored("first", "/w"))
    await use(pool, stored("second", "/w"))
    assert names(pool) == ["first:latest"]


async def test_adapters_make_another_model(pool: ModelPool) -> None:
    await use(pool, stored("plain", "/w"))
    await use(pool, stored("tuned", "/w", adapters=["/lora"]))
    assert len(pool.ps()) == 2


async def test_a_load_does_not_hold_up_other_models(pool: ModelPool, loader: FakeLoader) -> None:
    await use(pool, A)
    loader.gate.clear()
    loading = asyncio.create_task(use(pool, B))
    await settle()
    await asyncio.wait_for(use(pool, A), 1)
    second = asyncio.create_task(use(pool, C))
    await settle()
    assert loader.started == ["/a.gguf", "/b.gguf", "/c.gguf"], "loads run side by side"
    loader.gate.set()
    await asyncio.gather(loading, second)


async def test_a_failed_load_fails_all_that_wait_and_is_forgotten(
    pool: ModelPool, loader: FakeLoader
) -> None:
    loader.gate.clear()
    loader.failures.append(ModelLoadError("broken"))
    requests = [asyncio.create_task(use(pool, A)) for _ in range(3)]
    await settle()
    loader.gate.set()
    errors = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(error) for error in errors] == [ModelLoadError] * 3
    await use(pool, A)
    assert names(pool) == ["a:latest"]


async def test_a_load_that_nobody_wants_any_more_is_given_up(
    pool: ModelPool, loader: FakeLoader
) -> None:
    loader.gate.clear()
    first, second = (asyncio.create_task(use(pool, A)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert not loader.cancelled, "the second still waits"
    second.cancel()
    await settle()
    assert loader.cancelled == ["/a.gguf"]
    third = asyncio.create_task(use(pool, A))
    await settle()
    loader.gate.set()
    await third
    await asyncio.gather(first, second, return_exceptions=True)


async def test_more_requests_than_may_wait_are_refused(pool: ModelPool, loader: FakeLoader) -> None:
    await use(pool, B)
    loader.gate.clear()
    waiting = [asyncio.create_task(use(pool, A)) for _ in range(5)]
    await settle()
    with pytest.raises(Busy, match="maximum pending requests exceeded"):
        await use(pool, A)
    await use(pool, B)
    loader.gate.set()
    await asyncio.gather(*waiting)
    await use(pool, A)


# --- other options ------------------------------------------------------------------------------


async def test_a_smaller_context_is_only_a_limit(pool: ModelPool, loader: FakeLoader) -> None:
    await use(pool, A)
    loaded = await use(pool, A, context(512))
    assert loaded.n_ctx == 512
    assert len(loader.engines) == 1


async def test_a_larger_context_reloads_when_the_model_is_free(
    pool: ModelPool, loader: FakeLoader
) -> None:
    async with pool.lease(A, context(1024)):
        larger = asyncio.create_task(use(pool, A))
        await settle()
        assert not larger.done()
        assert loader.engines[0].closed == 0, "it is in use"
    assert (await larger).n_ctx == 4096
    assert [engine.spec.n_ctx for engine in loader.engines] == [1024, 4096]
    assert [row.context_length for row in pool.ps()] == [4096]


async def test_a_context_beyond_the_trained_one_is_cut(pool: ModelPool, loader: FakeLoader) -> None:
    await use(pool, A, context(8192))
    loaded = await use(pool, A, context(100_000))
    assert loaded.n_ctx == 8192
    assert len(loader.engines) == 1


async def test_only_options_that_are_given_and_differ_reload(
    pool: ModelPool, loader: FakeLoader
) -> None:
    await use(pool, A, LoadOptions(num_thread=2, num_gpu=3))
    await use(pool, A, LoadOptions(num_thread=2))
    await use(pool, A, LoadOptions(num_gpu=-1))
    assert len(loader.engines) == 1
    await use(pool, A, LoadOptions(num_thread=3))
    assert len(loader.engines) == 2


# --- keeping ------------------------------------------------------------------------------------


async def test_an_idle_model_expires(pool: ModelPool) -> None:
    async with pool.lease(A, ANY, 0.05):
        await asyncio.sleep(0.1)
        assert names(pool) == ["a:latest"], "in use"
    assert names(pool) == ["a:latest"]
    await asyncio.sleep(0.1)
    assert not pool.ps()


async def test_a_request_starts_the_time_again(pool: ModelPool) -> None:
    await use(pool, A, keep_alive=0.15)
    await asyncio.sleep(0.1)
    await use(pool, A)
    await asyncio.sleep(0.1)
    assert pool.ps(), "the value stays, the clock starts again"
    await asyncio.sleep(0.1)
    assert not pool.ps()


async def test_zero_unloads_after_the_request(pool: ModelPool, loader: FakeLoader) -> None:
    async with pool.lease(A, ANY, 0):
        assert loader.engines[0].closed == 0
    await settle()
    assert loader.engines[0].closed == 1
    assert not pool.ps()


async def test_rows_say_when_a_model_expires(pool: ModelPool) -> None:
    await use(pool, A)
    await use(pool, B, keep_alive=600)
    await use(pool, C, keep_alive=-1)
    assert [(row.model.name.short, row.expires_at) for row in pool.ps()] == [
        ("c:latest", None),
        ("b:latest", NOW + timedelta(seconds=600)),
        ("a:latest", NOW + timedelta(seconds=60)),
    ]
    await use(pool, B, keep_alive=10)
    assert names(pool) == ["c:latest", "a:latest", "b:latest"]


async def test_expire_waits_for_running_requests(pool: ModelPool, loader: FakeLoader) -> None:
    pool.expire(A)  # not loaded: nothing to do
    async with pool.lease(stored("x", "/w"), ANY):
        pool.expire(stored("y", "/w"))
        await settle()
        assert names(pool) == ["x:latest"]
        assert loader.engines[0].closed == 0
        later = asyncio.create_task(use(pool, stored("y", "/w")))
        await settle()
        assert not later.done(), "it gets a new one"
    await later
    assert names(pool) == ["y:latest"]
    assert len(loader.engines) == 2


# --- room ---------------------------------------------------------------------------------------


async def test_the_longest_unused_model_makes_room(pool: ModelPool) -> None:
    for model in (A, B, C, A):
        await use(pool, model)
    await use(pool, stored("d"))
    assert sorted(names(pool)) == ["a:latest", "c:latest", "d:latest"]


async def test_a_short_keep_alive_goes_first(pool: ModelPool) -> None:
    await use(pool, A, keep_alive=-1)
    await use(pool, B, keep_alive=50)
    await use(pool, C, keep_alive=10)
    await use(pool, stored("d"))
    assert sorted(names(pool)) == ["a:latest", "b:latest", "d:latest"]


async def test_a_busy_model_makes_room_when_it_is_free(pool: ModelPool) -> None:
    async with AsyncExitStack() as stack:
        for model in (A, B, C):
            await hold(stack, pool, model)
        fourth = asyncio.create_task(use(pool, stored("d")))
        await settle()
        assert not fourth.done()
        assert len(pool.ps()) == 3
    await asyncio.wait_for(fourth, 1)
    assert len(pool.ps()) == 3


async def test_idle_models_go_when_memory_is_short(pool: ModelPool, loader: FakeLoader) -> None:
    loader.room = 1
    await use(pool, A)
    await use(pool, B)
    assert names(pool) == ["b:latest"]


async def test_memory_that_runs_out_while_loading_costs_another_model(
    pool: ModelPool, loader: FakeLoader
) -> None:
    await use(pool, A)
    loader.failures.append(OutOfMemory("the driver says no"))
    await use(pool, B)
    assert names(pool) == ["b:latest"]


async def test_out_of_memory_with_nothing_to_unload_is_an_error(
    pool: ModelPool, loader: FakeLoader
) -> None:
    loader.room = 0
    with pytest.raises(OutOfMemory):
        await use(pool, A)
    assert not pool.ps()


async def test_two_loads_never_count_on_the_same_room(pool: ModelPool, loader: FakeLoader) -> None:
    loader.room = 1
    loader.gate.clear()
    both = [asyncio.create_task(use(pool, model)) for model in (A, B)]
    await settle()
    assert loader.started == ["/a.gguf"]
    loader.gate.set()
    await asyncio.wait_for(asyncio.gather(*both), 1)
    assert names(pool) == ["b:latest"]


# --- ends ---------------------------------------------------------------------------------------


async def test_a_dead_engine_is_replaced(pool: ModelPool, loader: FakeLoader) -> None:
    async with pool.lease(A, ANY) as first:
        loader.engines[0].die()
        assert not pool.ps()
        second = await use(pool, A)
        assert second.engine is not first.engine
    assert names(pool) == ["a:latest"], "the old lease does not touch the new entry"


async def test_close_ends_loads_and_requests(loader: FakeLoader) -> None:
    pool = ModelPool(loader)
    async with pool.lease(A, ANY):
        loader.gate.clear()
        loading = asyncio.create_task(use(pool, B))
        await settle()
        await asyncio.wait_for(pool.close(), 1)
        assert loader.engines[0].closed == 1
        with pytest.raises(EngineClosed):
            await loading
    with pytest.raises(EngineClosed):
        await use(pool, A)
    assert loader.cancelled == ["/b.gguf"]


async def test_close_waits_for_requests_within_its_grace(loader: FakeLoader) -> None:
    pool = ModelPool(loader)
    async with pool.lease(A, ANY):
        closing = asyncio.create_task(pool.close(grace=5))
        await settle()
        assert loader.engines[0].closed == 0
    await asyncio.wait_for(closing, 1)
    assert loader.engines[0].closed == 1


async def test_the_context_that_a_request_would_have() -> None:
    loader = FakeLoader()
    pool = ModelPool(loader)
    model = stored("a")
    assert pool.context_of(model, LoadOptions()) == (DEFAULT, None)
    assert pool.context_of(model, LoadOptions(num_ctx=16)) == (16, None)
    async with pool.lease(model, LoadOptions(num_ctx=2048)) as loaded:
        info = loaded.engine.info
        assert pool.context_of(model, LoadOptions(num_ctx=16)) == (16, info)
        assert pool.context_of(model, LoadOptions(num_ctx=4096)) == (4096, None)
        assert pool.engines() == [(model, loaded.engine)]
    assert pool.queue == (0, 512)
    await pool.close()
    assert pool.engines() == []
