"""Prefixes come back from memory and from disk: seen by what was not computed again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.e2e.running import running_server
from tests.native import tiny

from pyollama.compose import Application, build
from pyollama.config import Settings
from pyollama.engine.engine import Engine
from pyollama.engine.spec import LoadSpec
from pyollama.types import (
    Adapters,
    CompletionRequest,
    Delta,
    Done,
    Finished,
    GenerateRequest,
    SamplingParams,
    Tokens,
    Usage,
)

MIB = 1 << 20
N_OUT = 4
MARGIN = 0.05
"""Between the likeliest two tokens. Where it is less, the shape of a batch may decide."""

NOISE = 0.01
"""What the shape of a batch does to a log-probability here."""

PROMPT = [(4 * n * n + n) % 200 for n in range(301)]
BRANCH = [*PROMPT[:150], 13, 14, 15]
OTHER = [(3 * n * n + 5 * n + 1) % 200 for n in range(301)]
MAKERS: dict[str, Callable[[Path], Path]] = {
    "llama": tiny.llama_like,
    "gemma3": tiny.gemma3_like,
    "mamba": tiny.mamba_like,
    "lfm2": tiny.lfm2_like,
}


@pytest.fixture(scope="module", params=MAKERS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name: str = request.param
    return MAKERS[name](tmp_path_factory.mktemp("model") / f"{name}.gguf")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama_like(tmp_path_factory.mktemp("model") / "llama.gguf")


@asynccontextmanager
async def engine_on(model: Path, **fields: object) -> AsyncIterator[Engine]:
    """An engine with room for one of the prompts, if no more is asked for."""
    values = {"n_ctx": 400, "n_slots": 1, "n_sequences": 2, "n_threads": 1} | fields
    spec = LoadSpec(path=str(model), **values)  # type: ignore[arg-type]
    engine = await asyncio.to_thread(Engine.load, spec)
    try:
        yield engine
    finally:
        await engine.close()


@dataclass(frozen=True)
class Answer:
    tokens: tuple[int, ...]
    cached: int
    logprobs: tuple[float, ...] = field(compare=False)


async def ask(
    engine: Engine, prompt: list[int], adapters: Adapters | None = None, *, clear: bool = True
) -> Answer:
    """The greedy answer; ``clear`` where it is going to be compared."""
    request = GenerateRequest(
        f"{len(prompt)}",
        prompt,
        SamplingParams(temperature=0),
        max_tokens=N_OUT,
        logprobs=2,
        preserved_tokens=tuple(range(engine.info.n_vocab)),
        adapters=adapters,
        ignore_eos=True,
    )
    events = [event async for event in engine.generate(request)]
    chunks = [event for event in events if isinstance(event, Tokens)]
    chosen = [entry for chunk in chunks for entry in chunk.logprobs]
    if clear:
        assert min(entry.top[0].logprob - entry.top[1].logprob for entry in chosen) > MARGIN
    *_, end = events
    assert isinstance(end, Finished)
    return Answer(
        tokens=tuple(token for chunk in chunks for token in chunk.tokens),
        cached=end.usage.cached_tokens,
        logprobs=tuple(entry.logprob for entry in chosen),
    )


async def push_out(engine: Engine) -> None:
    """Have something else computed, for which the cache has no room beside what it holds."""
    request = GenerateRequest("other", OTHER, max_tokens=0)
    assert [event async for event in engine.generate(request)]


def can_be_cut(model: Path) -> bool:
    return model.stem == "llama"


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.kv"))


async def cold(model: Path, prompt: list[int]) -> Answer:
    async with engine_on(model) as engine:
        answer = await ask(engine, prompt)
    assert answer.cached == 0
    return answer


async def test_what_was_evicted_comes_back_from_memory(model: Path) -> None:
    expected = await cold(model, PROMPT)
    async with engine_on(model, prefix_ram=MIB) as engine:
        assert await ask(engine, PROMPT) == expected
        await push_out(engine)
        again = await ask(engine, PROMPT)
        assert (again.tokens, again.cached) == (expected.tokens, len(PROMPT) - 1)
    async with engine_on(model) as engine:
        await ask(engine, PROMPT)
        await push_out(engine)
        assert (await ask(engine, PROMPT)).cached == 0


async def test_a_prefix_outlives_its_engine_on_disk(model: Path, tmp_path: Path) -> None:
    expected = await cold(model, PROMPT)
    on_disk = {"prefix_disk": 64 * MIB, "prefix_dir": str(tmp_path)}
    async with engine_on(model, **on_disk) as engine:
        await ask(engine, PROMPT)
    async with engine_on(model, **on_disk) as engine:
        again = await ask(engine, PROMPT)
        assert (again.tokens, again.cached) == (expected.tokens, len(PROMPT) - 1)


async def test_a_part_of_what_is_held_is_as_good_as_computed(model: Path, tmp_path: Path) -> None:
    on_disk = {"prefix_disk": 64 * MIB, "prefix_dir": str(tmp_path)}
    async with engine_on(model, **on_disk) as engine:
        await ask(engine, PROMPT)
    expected = await cold(model, BRANCH)
    async with engine_on(model, **on_disk) as engine:
        answer = await ask(engine, BRANCH)
    assert answer.tokens == expected.tokens
    assert answer.logprobs == pytest.approx(expected.logprobs, abs=NOISE)
    assert answer.cached == (150 if can_be_cut(model) else 0)


async def test_a_state_that_was_put_back_is_as_good_as_computed(model: Path) -> None:
    async with engine_on(model) as engine:
        state = await engine.save_state(GenerateRequest("save", PROMPT, max_tokens=0))
    expected = await cold(model, BRANCH)
    async with engine_on(model) as engine:
        await engine.restore_state(PROMPT, state)
        answer = await ask(engine, BRANCH)
    assert answer.logprobs == pytest.approx(expected.logprobs, abs=NOISE)
    assert answer.cached == (150 if can_be_cut(model) else 0)


async def test_a_damaged_file_is_removed_and_its_part_computed(llama: Path, tmp_path: Path) -> None:
    expected = await cold(llama, PROMPT)
    on_disk = {"prefix_disk": 64 * MIB, "prefix_dir": str(tmp_path)}
    async with engine_on(llama, **on_disk) as engine:
        await ask(engine, PROMPT)
    first, second = files(tmp_path)
    second.write_bytes(second.read_bytes()[:-1] + b"\xff")
    async with engine_on(llama, **on_disk) as engine:
        again = await ask(engine, PROMPT)
        assert (again.tokens, again.cached) == (expected.tokens, 256)
        assert not second.exists()
    first.write_bytes(b"")
    async with engine_on(llama, **on_disk) as engine:
        again = await ask(engine, PROMPT)
        assert (again.tokens, again.cached) == (expected.tokens, 0)


async def test_nothing_of_another_model_or_layout_is_used(llama: Path, tmp_path: Path) -> None:
    on_disk = {"prefix_disk": 64 * MIB, "prefix_dir": str(tmp_path)}
    same_shape = tiny.llama_like(tmp_path / "other.gguf")
    data = bytearray(same_shape.read_bytes())
    data[-1] ^= 1
    same_shape.write_bytes(data)
    lora = tiny.lora(tmp_path / "lora.gguf")
    async with engine_on(llama, **on_disk) as engine:
        await ask(engine, PROMPT)
    others: list[tuple[Path, dict[str, object]]] = [
        (same_shape, {}),
        (llama, {"adapters": (str(lora),)}),
        (llama, {"type_k": "bf16", "type_v": "bf16"}),
    ]
    for path, fields in others:
        async with engine_on(path, **on_disk, **fields) as engine:
            assert (await ask(engine, PROMPT, clear=False)).cached == 0
    async with engine_on(llama, **on_disk, n_ctx=512, n_slots=2, n_batch=64) as engine:
        assert (await ask(engine, PROMPT)).cached == len(PROMPT) - 1


async def test_a_request_with_an_adapter_gets_what_that_adapter_computed(
    llama: Path, tmp_path: Path
) -> None:
    lora = ((str(tiny.lora(tmp_path / "lora.gguf")), 1.0),)
    on_disk = {"prefix_disk": 64 * MIB, "prefix_dir": str(tmp_path)}
    async with engine_on(llama, **on_disk) as engine:
        plain = await ask(engine, PROMPT)
        adapted = await ask(engine, PROMPT, lora, clear=False)
        assert (plain.cached, adapted.cached) == (0, 0)
        assert adapted.logprobs[0] != pytest.approx(plain.logprobs[0], abs=10 * NOISE)
    async with engine_on(llama, **on_disk) as engine:
        for adapters, expected in ((lora, adapted), (None, plain)):
            again = await ask(engine, PROMPT, adapters, clear=False)
            assert again.cached == len(PROMPT) - 1
            assert again.logprobs[0] == pytest.approx(expected.logprobs[0], abs=NOISE)


# --- through the server's parts -------------------------------------------------------------------

STORY = "Once upon a time there was a small red fox who lived in a wood. " * 6
OPTIONS = {"temperature": 0, "num_predict": 4}


def serve_once(home: Path, environment: dict[str, str]) -> tuple[str, int]:
    """Let a server answer and end; the answer, and how long the prompt was."""
    body = {"model": "builtin", "prompt": STORY, "raw": True, "stream": False, "options": OPTIONS}
    with running_server(home, environment) as server:
        response = httpx.post(f"{server.url}/api/generate", json=body, timeout=120)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(30)
    answer = response.raise_for_status().json()
    return answer["response"], answer["prompt_eval_count"]


async def answer_and_unload(running: Application) -> tuple[str, Usage]:
    request = CompletionRequest(
        model="builtin", prompt=STORY, raw=True, options=OPTIONS, keep_alive=0
    )
    *parts, end = [event async for event in running.services.generate.answer(request)]
    assert isinstance(end, Done)
    assert end.load_duration > 0
    said = [*(part for part in parts if isinstance(part, Delta)), end.tail]
    return "".join(delta.content for delta in said), end.usage


async def test_a_prefix_survives_restart_and_unload(tmp_path: Path) -> None:
    environment = {
        "OLLAMA_MODELS": str(tmp_path / "models"),
        "PYOLLAMA_PREFIX_DIR": str(tmp_path / "prefixes"),
        "PYOLLAMA_PREFIX_DISK": "64MiB",
        "PYOLLAMA_PREFIX_RAM": "0",
    }
    text, n_prompt = await asyncio.to_thread(serve_once, tmp_path / "home", environment)
    assert text
    running = build(Settings.load(environment))
    try:
        restarted = await answer_and_unload(running)
        reloaded = await answer_and_unload(running)
    finally:
        await running.close()
    for answer, usage in (restarted, reloaded):
        assert answer == text
        assert (usage.prompt_tokens, usage.cached_tokens) == (n_prompt, n_prompt - 1)
