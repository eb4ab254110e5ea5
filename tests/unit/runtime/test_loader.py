from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gguf
import pytest
from tests.unit.runtime.fakes import FakeEngine, stored

from pyollama.engine.spec import LoadSpec
from pyollama.errors import ModelLoadError
from pyollama.runtime.devices import GPU, Hardware
from pyollama.runtime.fit import GIB, Policy
from pyollama.runtime.loader import ModelLoader
from pyollama.types import LoadOptions
from pyollama.worker.health import WorkerLimits

MACHINE = Hardware((), 8 * GIB, 8 * GIB)
LIMITS = WorkerLimits(load_timeout=7)


def loader(hardware: Hardware = MACHINE, policy: Policy | None = None) -> ModelLoader:
    async def start(
        spec: LoadSpec, *, on_death: Callable[[], None], limits: WorkerLimits
    ) -> FakeEngine:
        assert limits is LIMITS
        return FakeEngine(spec, on_death)

    return ModelLoader(policy or Policy(), LIMITS, hardware=lambda: hardware, start=start)


def test_a_wish_without_numbers_takes_the_default() -> None:
    wish = loader().wish(stored("a"), LoadOptions())
    assert (wish.n_ctx, wish.automatic) == (4096, True)
    asked = loader().wish(stored("a"), LoadOptions(num_ctx=100))
    assert (asked.n_ctx, asked.automatic) == (100, False)


def test_the_key_is_what_the_weights_are() -> None:
    ours = loader()
    same = [ours.wish(stored(name, "/w"), LoadOptions()).key for name in ("a", "b")]
    assert same[0] == same[1]
    assert ours.wish(stored("a", "/w", ["/lora"]), LoadOptions()).key != same[0]


def test_how_many_models_depends_on_the_gpus() -> None:
    gpus = tuple(GPU(i, "", False, GIB, GIB) for i in range(2))
    assert loader().max_models == 3
    assert loader(replace(MACHINE, gpus=gpus)).max_models == 6


async def test_a_model_is_placed_by_its_files_and_started(tmp_path: Path) -> None:
    weights, lora = tmp_path / "w", tmp_path / "l"
    weights.write_bytes(b"x" * 1000)
    lora.write_bytes(b"x" * 24)
    model = stored("a", str(weights), [str(lora)])
    ours = loader()
    placement = ours.place(model, ours.wish(model, LoadOptions(num_ctx=64)), [], [])
    assert placement.ram == placement.mapped == 1024
    engine = await ours.start(placement, lambda: None)
    assert isinstance(engine, FakeEngine)
    assert (engine.spec.path, engine.spec.adapters) == (str(weights), (str(lora),))
    assert engine.spec.n_ctx == 64


def test_a_draft_model_is_counted_and_passed_on(tmp_path: Path) -> None:
    weights, draft = tmp_path / "w", tmp_path / "d"
    weights.write_bytes(b"x" * 1000)
    writer = gguf.GGUFWriter(draft, "llama")
    for key, value in (("block_count", 2), ("embedding_length", 8), ("attention.head_count", 2)):
        writer.add_uint32(f"llama.{key}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    ours = loader(policy=Policy(num_parallel=1))
    placements = []
    for path in (None, draft, tmp_path / "nowhere"):
        model = replace(stored("a", str(weights)), draft_path=path)
        placements.append(ours.place(model, ours.wish(model, LoadOptions(num_ctx=64)), [], []))
    plain, drafting, broken = placements
    cache = 2 * 2 * 8 * 64 * 2  # keys and values, layers, width, tokens, bytes
    assert drafting.ram - plain.ram == draft.stat().st_size + cache
    assert broken.ram == plain.ram
    assert [each.spec.draft_path for each in placements[:2]] == ["", str(draft)]


def test_a_model_with_a_draft_model_serves_requests_without_one() -> None:
    plain = stored("a", "/w")
    ours = loader()
    without, small, other = (
        ours.wish(replace(plain, draft_path=path), LoadOptions())
        for path in (None, Path("/d"), Path("/e"))
    )
    assert without.key == small.key
    met = {"n_ctx": without.n_ctx, "n_ctx_train": without.n_ctx}
    assert without.met_by(small, **met) and small.met_by(small, **met)
    assert not small.met_by(without, **met) and not small.met_by(other, **met)


def test_weights_that_are_not_there_are_a_load_error() -> None:
    ours = loader()
    model = stored("a", "/nowhere/w")
    with pytest.raises(ModelLoadError, match="/nowhere/w"):
        ours.place(model, ours.wish(model, LoadOptions()), [], [])
    with pytest.raises(ModelLoadError, match="no weights on this machine"):
        ours.wish(replace(model, model_path=None), LoadOptions())
