"""Servers that are killed, and servers that share a store, leave every model whole."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e import disk_faults
from tests.e2e.running import Server, running_server

from pyollama.store.store import Store
from pyollama.types import Progress

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fault layer needs LD_PRELOAD")

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "create": (
        "/api/create",
        {
            "model": "made",
            "from": "builtin",
            "system": "Be brief.",
            "parameters": {"stop": ["END"]},
            "stream": False,
        },
    ),
    "copy": ("/api/copy", {"source": "builtin", "destination": "copied"}),
}


def send(server: Server, path: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=body, timeout=None)


def damage(root: Path) -> list[str]:
    return [
        f"{found.subject}: {found.problem}"
        for found in Store(root).verify()
        if not isinstance(found, Progress) and found.problem
    ]


@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_server_is_killed_at_a_write(request_name: str, tmp_path: Path) -> None:
    path, body = REQUESTS[request_name]
    library = disk_faults.build(tmp_path)

    def settings(folder: Path, at: int, trace: Path | None = None) -> Mapping[str, str]:
        trigger = folder / "trigger"
        root = folder / ".ollama" / "models"
        return disk_faults.environment(library, root, "kill", at, trigger=trigger, trace=trace)

    whole, trace = tmp_path / "whole", tmp_path / "trace"
    with running_server(whole, settings(whole, 0, trace)) as server:
        (whole / "trigger").touch()
        assert send(server, path, body).status_code == 200
    writes = len(trace.read_text().splitlines())
    assert writes >= 10
    for at in (1, writes // 4, writes // 2, writes * 3 // 4, writes):
        home = tmp_path / f"at-{at}"
        with running_server(home, settings(home, at)) as server:
            (home / "trigger").touch()
            with pytest.raises(httpx.TransportError):
                send(server, path, body)
            assert server.process.wait() == -9
        assert damage(home / ".ollama" / "models") == []
        with running_server(home) as server:
            assert send(server, path, body).status_code == 200
            model = next(iter({"made", "copied"} & {body.get("model"), body.get("destination")}))
            asked = {"model": model, "prompt": "Hello!", "stream": False}
            assert send(server, "/api/generate", asked).json()["response"]
        assert damage(home / ".ollama" / "models") == []


def test_servers_share_a_store(tmp_path: Path) -> None:
    """Both make and delete models of the same blobs; no one misses any of them."""
    shared = {"OLLAMA_MODELS": str(tmp_path / "models")}
    failures: list[str] = []

    def work(server: Server, name: str) -> None:
        for turn in range(8):
            body = {"model": name, "from": "builtin", "system": f"{turn}", "stream": False}
            for answer in (
                send(server, "/api/create", body),
                send(server, "/api/copy", {"source": name, "destination": f"{name}-2"}),
                httpx.request("DELETE", f"{server.url}/api/delete", json={"model": name}),
                send(server, "/api/show", {"model": f"{name}-2"}),
            ):
                if answer.status_code != 200:
                    failures.append(f"{name} {turn}: {answer.text}")

    with (
        running_server(tmp_path / "one", shared) as one,
        running_server(tmp_path / "two", shared) as two,
    ):
        threads = [
            threading.Thread(target=work, args=(server, name))
            for server, name in ((one, "a"), (two, "b"), (one, "c"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for server in (one, two):
            listed = httpx.get(f"{server.url}/api/tags").json()["models"]
            assert sorted(model["name"] for model in listed) == [
                *("a-2:latest", "b-2:latest", "builtin:latest", "c-2:latest")
            ]
    assert failures == []
    assert damage(tmp_path / "models") == []
