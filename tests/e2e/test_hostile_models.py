"""Models made to do harm: creating, showing and running each leaves the server as it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from tests.e2e.running import Server, running_server
from tests.native import tiny
from tests.unit.store.hostile_gguf import Hostile, hostile_files

from pyollama.store.gguf import GGUFHeader, read_gguf
from pyollama.store.gguf_writer import array, copied_fields, copied_tensor, scalar, write_gguf
from pyollama.store.manifest import CONFIG_TYPE, MANIFEST_TYPE, MODEL
from pyollama.store.name import Name

OPTIONS = {"num_predict": 1, "num_ctx": 128}
LARGEST = (1 << 32) - 1

TOKENS = "tokenizer.ggml.tokens"
# What replaces or joins the metadata of a sound model. llama.cpp gets to see these.
CRAZY: Mapping[str, Mapping[str, bytes]] = {
    "another architecture": {"general.architecture": scalar("string", "nonsense")},
    "architecture that is a number": {"general.architecture": scalar("uint32", 7)},
    "architecture of a projector": {"general.architecture": scalar("string", "clip")},
    "no heads": {"llama.attention.head_count": scalar("uint32", 0)},
    "heads by the billion": {"llama.attention.head_count": scalar("uint32", LARGEST)},
    "no dimensions": {"llama.embedding_length": scalar("uint32", 0)},
    "other dimensions": {"llama.embedding_length": scalar("uint32", 63)},
    "no layers": {"llama.block_count": scalar("uint32", 0)},
    "layers by the billion": {"llama.block_count": scalar("uint32", LARGEST)},
    "lengths that are texts": {"llama.context_length": scalar("string", "x")},
    "no context": {"llama.context_length": scalar("uint32", 0)},
    "largest context": {"llama.context_length": scalar("uint32", LARGEST)},
    "experts by the billion": {"llama.expert_count": scalar("uint32", LARGEST)},
    "no tokens": {TOKENS: array("string", [])},
    "tokens that are numbers": {TOKENS: array("uint32", [1, 2, 3])},
    "one token": {TOKENS: array("string", ["a"])},
    "the same token often": {TOKENS: array("string", ["a"] * 300)},
    "tokens of nothing": {TOKENS: array("string", [""] * 300)},
    "types of few tokens": {"tokenizer.ggml.token_type": array("int32", [1])},
    "types of none": {"tokenizer.ggml.token_type": array("int32", [-5] * 265)},
    "scores of few tokens": {"tokenizer.ggml.scores": array("float32", [0.0])},
    "merges of nothing": {"tokenizer.ggml.merges": array("string", ["", " ", "a", "a b c"])},
    "another tokenizer": {"tokenizer.ggml.model": scalar("string", "nonsense")},
    "tokenizer of another kind": {"tokenizer.ggml.model": scalar("string", "llama")},
    "tokenizer for pieces of words": {"tokenizer.ggml.model": scalar("string", "bert")},
    "unigrams": {"tokenizer.ggml.model": scalar("string", "t5")},
    "another way to cut": {"tokenizer.ggml.pre": scalar("string", "nonsense")},
    "special tokens out of range": {
        "tokenizer.ggml.bos_token_id": scalar("uint32", LARGEST),
        "tokenizer.ggml.eos_token_id": scalar("uint32", 1 << 31),
        "tokenizer.ggml.eot_token_id": scalar("uint32", 100_000),
        "tokenizer.ggml.add_bos_token": scalar("bool", True),
    },
    "template that is a number": {"tokenizer.chat_template": scalar("uint32", 1)},
    "template of eight megabytes": {"tokenizer.chat_template": scalar("string", "{{" * (1 << 22))},
    "pooling of none": {"llama.pooling_type": scalar("uint32", 99)},
    "rotation of nothing": {"llama.rope.dimension_count": scalar("uint32", 0)},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    settings = {"PYOLLAMA_BUILTIN": "0", "OLLAMA_MODELS": str(home / "models")}
    with running_server(home, settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, client: httpx.Client) -> Path:
    path = tiny.llama_like(tmp_path_factory.mktemp("files") / "plain.gguf", n_layer=1)
    assert create(client, "good", path.read_bytes()).status_code == 200
    return path


def create(client: httpx.Client, name: str, data: bytes) -> httpx.Response:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    client.post(f"/api/blobs/{digest}", content=data).raise_for_status()
    body = {"model": name, "files": {"model.gguf": digest}, "stream": False}
    return client.post("/api/create", json=body)


def put(server: Server, name: str, data: bytes, padding: int = 0) -> None:
    """Make a model by hand, which asks nobody whether it is sound."""
    models = server.home / "models"
    layers = []
    for kind, content in ((MODEL, data), (CONFIG_TYPE, b'{"model_format":"gguf"}')):
        digest = hashlib.sha256(content).hexdigest()
        path = models / "blobs" / f"sha256-{digest}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(content)
            file.truncate(len(content) + (padding if kind == MODEL else 0))
        layers.append({"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)})
    path = models.joinpath("manifests", *Name.parse(name).parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE}
    path.write_text(json.dumps(whole | {"config": layers[1], "layers": layers[:1]}))


def show(client: httpx.Client, model: str) -> httpx.Response:
    return client.post("/api/show", json={"model": model, "verbose": True})


def run(client: httpx.Client, model: str, **asked: object) -> httpx.Response:
    body = {"model": model, "options": OPTIONS, "stream": False, "keep_alive": 0}
    path = "/api/chat" if "messages" in asked else "/api/generate"
    return client.post(path, json=body | asked)


def with_fields(plain: GGUFHeader, path: Path, fields: Mapping[str, bytes]) -> bytes:
    with path.open("wb") as file:
        tensors = [copied_tensor(plain, tensor) for tensor in plain.tensors]
        for _ in write_gguf(file, {**copied_fields(plain), **fields}, tensors):
            pass
    return path.read_bytes()


def check_alive(server: Server, client: httpx.Client) -> None:
    assert server.process.poll() is None, server.log.read_text()[-3000:]
    assert client.post("/api/show", json={"model": "good"}).status_code == 200
    assert "good:latest" in {model["name"] for model in client.get("/api/tags").json()["models"]}


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("hostile", list(hostile_files()), ids=lambda hostile: hostile.name)
def test_a_file_that_is_no_model(server: Server, client: httpx.Client, hostile: Hostile) -> None:
    refused = create(client, "made", hostile.data)
    assert refused.status_code >= 400
    assert 0 < len(refused.json()["error"]) < 600
    put(server, "bad", hostile.data, hostile.padding)
    assert show(client, "bad").status_code in (200, 500)
    answer = run(client, "bad", prompt="hi")
    assert answer.status_code in (400, 500) and answer.json()["error"]
    check_alive(server, client)


@pytest.mark.parametrize("name", CRAZY)
def test_a_model_that_makes_no_sense(
    server: Server, client: httpx.Client, plain: Path, tmp_path: Path, name: str
) -> None:
    data = with_fields(read_gguf(plain), tmp_path / "x.gguf", CRAZY[name])
    create(client, "made", data)
    put(server, "bad", data)
    assert show(client, "bad").status_code in (200, 500)
    answer = run(client, "bad", messages=[{"role": "user", "content": "hi"}])
    assert answer.status_code == 200 or answer.json()["error"]
    check_alive(server, client)


def test_the_sound_model_still_runs(client: httpx.Client, plain: Path) -> None:
    assert run(client, "good", prompt="hi").json()["done"]
    assert plain.exists()
