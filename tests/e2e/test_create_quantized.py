"""Types of weights, made by the server and computed with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.e2e import checkpoints
from tests.e2e.checkpoints import Array
from tests.e2e.running import Server, running_server
from tests.e2e.server_models import (
    NO_LIMIT,
    TOKENS,
    blobs,
    converters,
    create,
    logits_of,
    made,
    shown,
    upload,
    uploaded,
    weights_of,
)

from pyollama._native import quantization_types
from pyollama.store import gguf_writer
from pyollama.store.gguf_types import FILE_TYPES

pytest.importorskip("transformers", reason="needs pyollama[convert]")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="module")
def expected(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Array:
    """What the model ``base`` computes: one with rows of 256 numbers, as the larger blocks need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "HIDDEN", 256)
        patch.setattr(checkpoints, "HEAD", 256 // checkpoints.HEADS)
        patch.setattr(checkpoints, "FEED", 256)
        checkpoint = checkpoints.llama(tmp_path_factory.mktemp("c") / "base")
        made(server, "base", files=uploaded(server, checkpoint.folder))
        return checkpoint.expected(TOKENS)


def test_every_type_of_the_binding_has_a_name_here() -> None:
    assert set(quantization_types()) == set(FILE_TYPES.values()) - {"NVFP4"}


@pytest.mark.parametrize("name", ["F32", "Q8_0", "Q6_K", "IQ2_XXS"])
def test_a_type(server: Server, expected: Array, name: str) -> None:
    made(server, name.lower(), **{"from": "base"}, quantize=name.lower())
    level = shown(server, name.lower())["details"]["quantization_level"]
    assert level == ("unknown" if name == "F32" else name)
    found = logits_of(weights_of(server, name.lower()))
    assert np.isfinite(found).all()
    if name != "IQ2_XXS":
        assert found @ expected / np.linalg.norm(found) / np.linalg.norm(expected) > 0.9


def test_other_names_for_a_type(server: Server, expected: Array) -> None:
    made(server, "alias", **{"from": "base"}, quantize="q4_k")
    assert shown(server, "alias")["details"]["quantization_level"] == "Q4_K_M"


@pytest.mark.parametrize("name", ["NVFP4", "Q9_Z", "COPY"])
def test_what_cannot_be_made_is_refused(server: Server, expected: Array, name: str) -> None:
    before = blobs(server)
    (answer,) = create(server, model="never", **{"from": "base"}, quantize=name)
    assert answer["error"].startswith(f"unsupported quantization type {name}")
    assert blobs(server) == before


def test_a_file_that_llama_cpp_does_not_take_is_an_error(server: Server, tmp_path: Path) -> None:
    fields = {
        "general.architecture": gguf_writer.scalar("string", "no-such-architecture"),
        "general.file_type": gguf_writer.scalar("uint32", 1),
    }
    tensor = gguf_writer.NewTensor("w", (256, 2), 1, lambda: [bytes(1024)])
    with (tmp_path / "x.gguf").open("wb") as file:
        list(gguf_writer.write_gguf(file, fields, [tensor]))
    files = {"x.gguf": upload(server, tmp_path / "x.gguf")}
    before = blobs(server)
    answer = create(server, model="never", files=files, quantize="Q8_0")
    assert "unknown model architecture" in answer[-1]["error"]
    assert blobs(server) == before


def test_a_client_that_leaves_ends_the_work(server: Server, tmp_path: Path) -> None:
    """A file large enough that it takes a while."""
    rows = 1 << 17
    fields = {
        "general.architecture": gguf_writer.scalar("string", "llama"),
        "general.file_type": gguf_writer.scalar("uint32", 1),
        "llama.attention.layer_norm_rms_epsilon": gguf_writer.scalar("float32", 1e-5),
    }
    facts = {"block_count": 1, "context_length": 64, "embedding_length": 256}
    facts |= {"feed_forward_length": rows, "attention.head_count": 4}
    for key, value in facts.items():
        fields[f"llama.{key}"] = gguf_writer.scalar("uint32", value)
    row = np.random.default_rng(1).normal(size=256).astype(np.float16).tobytes()
    names = [f"blk.0.ffn_{part}.weight" for part in ("up", "down", "gate")]
    tensors = [gguf_writer.NewTensor(name, (256, rows), 1, lambda: [row * rows]) for name in names]
    with (tmp_path / "x.gguf").open("wb") as file:
        list(gguf_writer.write_gguf(file, fields, tensors))
    files = {"x.gguf": upload(server, tmp_path / "x.gguf")}
    before = blobs(server)
    body = {"model": "never", "files": files, "quantize": "IQ2_XXS"}
    with httpx.stream("POST", f"{server.url}/api/create", json=body, timeout=NO_LIMIT) as answer:
        for line in answer.iter_lines():
            if "quantizing" in line:
                break
        assert converters(server), line
    while converters(server) or blobs(server) != before:
        time.sleep(0.05)
