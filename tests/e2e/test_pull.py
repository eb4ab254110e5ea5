"""Pulling with a real server, as users do: several at once, with kills and people who leave."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.planting import Planted, plant
from tests.e2e.registry_server import GuardedRegistry, guarded_registry
from tests.e2e.running import Server, running_server

from pyollama.store.registry.parts import CHUNK, Partial, parse_part

MB = 1 << 20
SIZE = 40 * MB + 12_345
READ = 512 << 10  # what a connection may have read and not written yet
PRIVATE = {"PYOLLAMA_PRIVATE_REGISTRIES": "127.0.0.1,localhost", "PYOLLAMA_BUILTIN": "0"}
KILLS = 4


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedRegistry]:
    with guarded_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def server(registry: GuardedRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = registry.environment | PRIVATE
    with running_server(tmp_path_factory.mktemp("home"), settings) as running:
        yield running


@pytest.fixture
def model(registry: GuardedRegistry) -> Iterator[Planted]:
    """A model of its own for each test, so that nothing of it is there yet."""
    registry.proxy.record.clear()
    yield plant(registry.storage, "space/model", SIZE, seed=random.randrange(1 << 30))
    registry.proxy.record.clear()


def blobs(server: Server) -> Path:
    return server.home / ".ollama" / "models" / "blobs"


def name(registry: GuardedRegistry) -> str:
    return f"{registry.host}/space/model"


def fetched(registry: GuardedRegistry, model: Planted) -> int:
    return sum(seen.sent for seen in registry.proxy.record.requests("GET", model.weights))


@contextmanager
def pulling(server: Server, text: str, **more: Any) -> Iterator[Iterator[dict[str, Any]]]:
    """The lines of a pull; leaving early is what a client does that goes away."""
    body = {"model": text, **more}
    with httpx.stream("POST", f"{server.url}/api/pull", json=body, timeout=None) as response:
        assert response.status_code == 200
        yield map(json.loads, response.iter_lines())


def until(lines: Iterator[dict[str, Any]], completed: int) -> None:
    """Read on until that many bytes of a layer are there."""
    assert any(line.get("completed", 0) >= completed for line in lines)


def is_there(server: Server, text: str, model: Planted) -> bool:
    listed = httpx.get(f"{server.url}/api/tags").json()["models"]
    digests = {entry["name"]: entry["digest"] for entry in listed}
    files = {digest: blobs(server) / digest.replace(":", "-") for digest in model.blobs}
    return digests.get(f"{text}:latest") == model.digest and all(
        path.read_bytes() == model.blobs[digest] for digest, path in files.items()
    )


def leftovers(server: Server) -> list[str]:
    return [path.name for path in blobs(server).iterdir() if len(path.name) != 71]


def test_a_pull_over_http(server: Server, registry: GuardedRegistry, model: Planted) -> None:
    with pulling(server, name(registry)) as lines:
        told = [line["status"] for line in lines]
    short = [f"pulling {digest[7:19]}" for digest in model.blobs]
    assert list(dict.fromkeys(told))[:-1] == [
        "pulling manifest",
        *short,
        "verifying sha256 digest",
        "writing manifest",
    ]
    assert told[-1] == "success"
    assert is_there(server, name(registry), model)
    assert not leftovers(server)
    key = server.home / ".ollama" / "id_ed25519"
    assert key.stat().st_mode & 0o777 == 0o600
    assert "Bearer" not in server.log.read_text()


def test_a_pull_in_one_answer(server: Server, registry: GuardedRegistry, model: Planted) -> None:
    body = {"name": name(registry), "stream": False}
    answer = httpx.post(f"{server.url}/api/pull", json=body, timeout=None)
    assert (answer.status_code, answer.json()) == (200, {"status": "success"})
    assert is_there(server, name(registry), model)


def test_many_clients_share_one_transfer(
    server: Server, registry: GuardedRegistry, model: Planted
) -> None:
    text = name(registry)
    with pulling(server, text, limit_rate=20 * MB) as second:
        with pulling(server, text.upper().replace("SPACE/MODEL", "space/Model")) as first:
            until(first, 4 * MB)  # and leaves
        seen = list(second)
    assert seen[0] == {"status": "pulling manifest"}
    assert seen[-1] == {"status": "success"}
    for digest in model.blobs:
        counts = [line.get("completed", 0) for line in seen if line.get("digest") == digest]
        assert counts and counts == sorted(counts)
    assert is_there(server, text, model)
    assert fetched(registry, model) == SIZE
    assert len(registry.proxy.record.requests("GET", "/manifests/")) == 2  # with and without token


def test_when_the_last_one_leaves_it_ends_and_goes_on_next_time(
    server: Server, registry: GuardedRegistry, model: Planted
) -> None:
    with pulling(server, name(registry), limit_rate=20 * MB) as lines:
        until(lines, 10 * MB)
    blob = blobs(server) / model.weights.replace(":", "-")
    deadline = time.monotonic() + 60
    while (partial := Partial.open(blob, SIZE)) is None:
        assert time.monotonic() < deadline, "the transfer goes on without anybody"
        time.sleep(0.05)
    kept = partial.completed
    partial.close()
    assert 10 * MB <= kept < SIZE
    registry.proxy.record.clear()
    with pulling(server, name(registry)) as lines:
        first = next(line for line in lines if line.get("digest"))
        assert first["completed"] == kept
        until(lines, SIZE)
        assert list(lines)[-1] == {"status": "success"}
    assert fetched(registry, model) == SIZE - kept
    assert is_there(server, name(registry), model)
    assert not leftovers(server)


def lost_bytes(partial: Path, data: bytes) -> list[int]:
    """Of each part: the bytes that are on disk and right, but not counted."""
    states = list(partial.parent.glob(f"{partial.name}-*"))
    found = partial.read_bytes()
    lost = []
    for state in states:
        part = parse_part(state.read_bytes())
        assert found[part.offset : part.start] == data[part.offset : part.start]
        rest = found[part.start : part.stop]
        lost.append(len(rest) - rest.count(0))  # the weights have no zeros, what is missing has
    return lost


def test_a_killed_server_loses_less_than_a_chunk_per_connection(
    registry: GuardedRegistry, model: Planted, tmp_path: Path
) -> None:
    settings = registry.environment | PRIVATE
    moments = sorted(random.sample(range(MB, SIZE - MB), KILLS))
    registry.proxy.add("stall", at=SIZE - 1, times=None)  # nobody is too late to be killed
    for moment in moments:
        with (
            running_server(tmp_path, settings) as server,
            pulling(server, name(registry), limit_rate=30 * MB) as lines,
        ):
            until(lines, moment)
            server.process.kill()
            server.process.wait()
        partial = blobs(server) / f"{model.weights.replace(':', '-')}-partial"
        assert max(lost_bytes(partial, model.data)) <= CHUNK + READ
    registry.proxy.record.clear()
    kept = sum(
        parse_part(state.read_bytes()).completed
        for state in partial.parent.glob(f"{partial.name}-*")
    )
    with running_server(tmp_path, settings) as server:
        with pulling(server, name(registry)) as lines:
            assert list(lines)[-1] == {"status": "success"}
        assert is_there(server, name(registry), model)
        assert not leftovers(server)
    assert fetched(registry, model) == SIZE - kept


def test_a_mirror_is_asked_first(registry: GuardedRegistry, model: Planted, tmp_path: Path) -> None:
    plant(registry.storage, "library/model", SIZE, seed=1)
    settings = {"PYOLLAMA_REGISTRY_MIRRORS": f"registry.ollama.ai={registry.url}"}
    with (
        running_server(tmp_path, registry.environment | settings) as server,
        pulling(server, "model") as lines,
    ):
        assert list(lines)[-1] == {"status": "success"}


def test_a_private_registry_needs_the_word_of_the_user(
    registry: GuardedRegistry, tmp_path: Path
) -> None:
    with running_server(tmp_path, registry.environment) as server:
        registry.proxy.record.clear()
        with pulling(server, name(registry)) as lines:
            assert "has the private address 127.0.0.1" in list(lines)[-1]["error"]
        assert not registry.proxy.record.requests()


def test_the_command_line(server: Server, registry: GuardedRegistry, model: Planted) -> None:
    with pulling(server, name(registry)) as lines:
        assert list(lines)[-1] == {"status": "success"}
    model = plant(registry.storage, "space/model", SIZE, seed=3)

    def pull(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pyollama", "pull", *arguments]
        return subprocess.run(
            command, env=server.environment, capture_output=True, text=True, check=False
        )

    done = pull(name(registry), "--limit-rate", "500MB")
    assert (done.returncode, done.stdout) == (0, "")
    told = done.stderr.splitlines()
    assert told[:-1] == [
        "pulling manifest",
        *(f"pulling {digest[7:19]}" for digest in model.blobs),
        "verifying sha256 digest",
        "writing manifest",
        "removing unused layers",  # of the model that had this name
    ]
    assert told[-1] == "success"
    assert is_there(server, name(registry), model)
    missing = pull(f"{registry.host}/space/nope")
    assert missing.returncode == 1
    assert missing.stderr.endswith("Error: pull model manifest: file does not exist\n")
    assert pull("a", "b").stderr == "Error: accepts 1 arg(s), received 2\n"


def test_create_fetches_the_model_that_it_begins_with(
    server: Server, registry: GuardedRegistry
) -> None:
    small = plant(registry.storage, "space/base", 1000)
    body = {"model": "mine", "from": f"{registry.host}/space/base", "system": "Be brief."}
    answer = httpx.post(f"{server.url}/api/create", json=body, timeout=None)
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert {"status": "pulling manifest"} in told
    assert any(line.get("digest") == small.weights for line in told)
    assert told[-1] == {"status": "success"}
    listed = httpx.get(f"{server.url}/api/tags").json()["models"]
    assert {"mine:latest", f"{registry.host}/space/base:latest"} <= {
        each["name"] for each in listed
    }
