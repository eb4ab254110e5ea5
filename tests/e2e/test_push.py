"""Pushing with a real server and the command line, to Docker's registry behind TLS and tokens."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest
from tests.e2e.registry_server import GuardedRegistry, guarded_registry, running_registry
from tests.e2e.running import Server, running_server

PRIVATE = {"PYOLLAMA_PRIVATE_REGISTRIES": "127.0.0.1,localhost"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedRegistry]:
    with guarded_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def server(registry: GuardedRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = registry.environment | PRIVATE
    with running_server(tmp_path_factory.mktemp("home"), settings) as running:
        yield running


def call(server: Server, path: str, body: dict[str, Any], method: str = "POST") -> httpx.Response:
    return httpx.request(method, f"{server.url}{path}", json=body, timeout=None)


def steps(server: Server, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in call(server, path, body).text.splitlines()]


def digest(server: Server, name: str) -> str:
    """What identifies a model, by the list of models."""
    models = httpx.get(f"{server.url}/api/tags").json()["models"]
    return next(str(model["digest"]) for model in models if model["name"] == name)


def pyollama(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyollama", *arguments]
    return subprocess.run(
        command, env=server.environment, capture_output=True, text=True, check=False
    )


def unsound(registry: GuardedRegistry) -> list[str]:
    """Blobs that a manifest in the registry names, but that are not there or not right."""
    repositories = registry.storage / "docker/registry/v2/repositories"
    found = []
    for link in repositories.glob("**/_manifests/tags/*/current/link"):
        path = registry.proxy.blob(link.read_text())
        manifest = json.loads(path.read_bytes())
        for layer in (manifest["config"], *manifest["layers"]):
            blob = registry.proxy.blob(layer["digest"])
            with suppress(FileNotFoundError):
                if layer["digest"] == f"sha256:{hashlib.sha256(blob.read_bytes()).hexdigest()}":
                    continue
            found.append(layer["digest"])
    return found


def tags(registry: GuardedRegistry, repository: str) -> list[str]:
    folder = registry.storage / "docker/registry/v2/repositories" / repository / "_manifests/tags"
    return sorted(tag.name for tag in folder.glob("*"))


def test_what_is_pushed_comes_back_the_same(server: Server, registry: GuardedRegistry) -> None:
    name = f"{registry.host}/space/there-and-back:tag"
    call(server, "/api/copy", {"source": "builtin", "destination": name})
    before = digest(server, name)
    pushed = steps(server, "/api/push", {"model": name})
    assert pushed[0] == {"status": "retrieving manifest"}
    assert pushed[-2:] == [{"status": "pushing manifest"}, {"status": "success"}]
    assert not unsound(registry)
    call(server, "/api/delete", {"model": name}, "DELETE")
    assert steps(server, "/api/pull", {"model": name})[-1] == {"status": "success"}
    assert digest(server, name) == before
    answer = call(server, "/api/generate", {"model": name, "prompt": "Hi", "stream": False})
    assert answer.json()["done"] is True


def test_the_command_pushes_and_says_where_to(server: Server, registry: GuardedRegistry) -> None:
    name = f"{registry.host}/space/by-command"
    assert pyollama(server, "cp", "builtin", name).returncode == 0
    done = pyollama(server, "push", name)
    assert (done.returncode, "success" in done.stderr) == (0, True)
    assert done.stdout == f"\nYou can find your model at:\n\n\t{name}:latest\n"
    assert tags(registry, "space/by-command") == ["latest"]


def test_who_may_not_push_is_told_in_one_line(server: Server, registry: GuardedRegistry) -> None:
    name = f"{registry.host}/others/model"
    call(server, "/api/copy", {"source": "builtin", "destination": name})
    assert registry.tokens is not None
    registry.tokens.pushers = set()
    try:
        done = pyollama(server, "push", name)
    finally:
        registry.tokens.pushers = None
    assert done.returncode == 1
    assert "Error: unauthorized: access denied: you are not authorized" in done.stderr
    assert "Traceback" not in done.stderr
    assert tags(registry, "others/model") == []


def test_errors_come_after_the_first_line_or_as_a_status(server: Server) -> None:
    lines = steps(server, "/api/push", {"model": "nobody/nothing"})
    assert [line.get("status") for line in lines[:-1]] == [
        "retrieving manifest",
        "couldn't retrieve manifest",
    ]
    assert "not found" in lines[-1]["error"]
    blocking = call(server, "/api/push", {"model": "nobody/nothing", "stream": False})
    assert (blocking.status_code, blocking.json()) == (500, {"error": lines[-1]["error"]})
    empty = call(server, "/api/push", {"model": ""})
    assert (empty.status_code, empty.json()) == (400, {"error": "model is required"})


def test_a_registry_that_is_not_there_is_a_clear_error(server: Server) -> None:
    name = "127.0.0.1:1/space/model"
    call(server, "/api/copy", {"source": "builtin", "destination": name})
    lines = steps(server, "/api/push", {"model": name})
    assert len(lines) == 2
    assert lines[1]["error"].startswith('Head "https://127.0.0.1:1/v2/space/model/blobs/sha256:')


def test_a_registry_without_tls_needs_the_users_word(server: Server, tmp_path: Path) -> None:
    with running_registry(tmp_path) as plain:
        name = f"{plain.host}/space/model"
        call(server, "/api/copy", {"source": "builtin", "destination": name})
        assert pyollama(server, "push", name).returncode == 1
        done = pyollama(server, "push", "--insecure", name)
        assert (done.returncode, name in done.stdout) == (0, True)
        before = digest(server, f"{name}:latest")
        call(server, "/api/delete", {"model": name}, "DELETE")
        with ollama.Client(server.url) as client:
            pulled = [*client.pull(name, insecure=True, stream=True)]
            assert pulled[-1].status == "success"
            assert digest(server, f"{name}:latest") == before
            assert client.push(name, insecure=True).status == "success"


def test_a_client_that_is_gone_ends_the_push(server: Server, registry: GuardedRegistry) -> None:
    name = f"{registry.host}/space/left"
    call(server, "/api/copy", {"source": "builtin", "destination": name})
    silent = {"method": "PATCH", "path": "/space/left/", "upload": True}
    registry.proxy.add("stall", **silent)
    url, body = f"{server.url}/api/push", {"model": name}
    with httpx.stream("POST", url, json=body, timeout=None) as answer:
        lines = answer.iter_lines()
        next(lines)
        while not registry.proxy.record.requests("PATCH", "/space/left/"):
            time.sleep(0.01)
    # Joined to the first push, the second one would wait for the silent registry as well.
    assert steps(server, "/api/push", {"model": name})[-1] == {"status": "success"}


@pytest.mark.parametrize("moment", range(1, 19, 3))
def test_a_kill_never_leaves_a_manifest_without_its_blobs(
    registry: GuardedRegistry, tmp_path: Path, moment: int
) -> None:
    """The server dies when the registry sees its request number ``moment``."""
    name = f"{registry.host}/killed/at-{moment}"
    settings = registry.environment | PRIVATE
    with running_server(tmp_path, settings) as server:
        call(server, "/api/copy", {"source": "builtin", "destination": name})
        config = call(server, "/api/create", {"model": name, "from": name, "system": f"{moment}"})
        assert config.status_code == 200
        registry.proxy.record.clear()

        def watch(count: int) -> None:
            if count == moment:
                server.process.kill()

        registry.proxy.record.watch = watch
        with suppress(httpx.TransportError):
            steps(server, "/api/push", {"model": name})
        server.process.wait()
    registry.proxy.record.clear()
    assert not unsound(registry)
    with running_server(tmp_path, settings) as server:
        assert steps(server, "/api/push", {"model": name})[-1] == {"status": "success"}
    assert not unsound(registry)
    assert tags(registry, f"killed/at-{moment}") == ["latest"]
