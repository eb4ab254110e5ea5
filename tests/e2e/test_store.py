"""The store on disk: read-only, checked, tidied up, and carried from machine to machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.e2e import disk_faults
from tests.e2e.running import clean_environment, running_server

from pyollama import builtin
from pyollama.store.builtin import Builtin
from pyollama.store.store import Store
from pyollama.types import CreateRequest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The store of a home: ``mine``, and ``copied``, which shares its weights."""
    made = Store(tmp_path / "home" / ".ollama" / "models", builtin=Builtin(builtin.FOLDER))
    for _ in made.create(CreateRequest(model="mine", base="builtin", parameters={"seed": 1})):
        pass
    made.copy("mine", "copied")
    return made


def pyollama(
    home: Path, *arguments: str, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pyollama", *arguments]
    environment = clean_environment(home)
    return subprocess.run(command, env=environment, input=data, capture_output=True, check=False)


def fingerprint(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Everything there is to see of the files and folders below ``folder``."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


@pytest.fixture
def read_only(tmp_path: Path, store: Store) -> dict[str, str]:
    """The environment of a server that cannot write to the store, whoever it is."""
    if sys.platform != "linux":
        pytest.skip("the fault layer needs LD_PRELOAD")
    library = disk_faults.build(tmp_path)
    return dict(disk_faults.environment(library, store.root, "EROFS", 1, trigger=store.root))


def test_a_store_that_cannot_be_written_is_used_unchanged(
    tmp_path: Path, store: Store, read_only: dict[str, str]
) -> None:
    orphan, _ = store.blobs.put(b"left behind")
    os.utime(store.blobs.path(orphan), (0, 0))
    before = fingerprint(store.root)
    with running_server(tmp_path / "home", read_only) as server, httpx.Client() as client:
        client.base_url = httpx.URL(server.url)
        client.timeout = httpx.Timeout(None)
        tags = client.get("/api/tags").json()["models"]
        assert {model["name"] for model in tags} == {
            *("mine:latest", "copied:latest", "builtin:latest")
        }
        body = {"model": "copied", "prompt": "Hello!", "stream": False}
        assert client.post("/api/generate", json=body).json()["response"]
        assert client.post("/api/show", json={"model": "mine"}).status_code == 200
        for path, change in {
            "create": {"model": "new", "from": "mine", "system": "Be brief.", "stream": False},
            "copy": {"source": "mine", "destination": "new"},
        }.items():
            refused = client.post(f"/api/{path}", json=change)
            assert refused.status_code == 500
            assert "Read-only file system" in refused.json()["error"]
        refused = client.request("DELETE", "/api/delete", json={"model": "mine"})
        assert "Read-only file system" in refused.json()["error"]
        log = server.log.read_text()
    assert "the store was not tidied up" in log
    assert "Traceback" not in log
    assert fingerprint(store.root) == before


def test_damage_is_named_and_shows_in_the_status(tmp_path: Path, store: Store) -> None:
    home = tmp_path / "home"
    sound = pyollama(home, "store", "verify")
    count = len(list(store.blobs.folder.iterdir()))
    assert (sound.returncode, sound.stdout.split()[:4]) == (
        0,
        f"{count} blobs are sound".encode().split(),
    )
    weights = store.resolve("mine").model_path
    assert weights is not None
    with weights.open("r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 1]))
    damaged = pyollama(home, "store", "verify")
    assert damaged.returncode == 1
    line = damaged.stdout.decode().splitlines()[0]
    assert line.startswith(weights.name.replace("-", ":", 1))
    assert line.endswith("(needed by copied:latest, mine:latest)")


def test_tidying_up_says_what_goes(tmp_path: Path, store: Store) -> None:
    home = tmp_path / "home"
    orphan, _ = store.blobs.put(b"nobody's")
    old, fresh = store.blobs.path(orphan), store.blobs.folder / f"sha256-{'a' * 64}-partial"
    os.utime(old, (0, 0))
    fresh.touch()
    expected = f"{old} (8 B)\n{{}} 1 files (8 B)\n"
    asked = pyollama(home, "store", "prune", "--dry-run")
    assert asked.stdout.decode() == expected.format("would delete")
    assert old.exists()
    done = pyollama(home, "store", "prune")
    assert (done.returncode, done.stdout.decode()) == (0, expected.format("deleted"))
    assert not old.exists()
    assert fresh.exists()
    assert pyollama(home, "store", "verify").returncode == 0


@pytest.mark.parametrize("piped", [False, True])
def test_models_are_carried_to_another_machine(tmp_path: Path, store: Store, piped: bool) -> None:
    here, there = tmp_path / "home", tmp_path / "there"
    file = tmp_path / "models.tar"
    done = pyollama(here, "store", "export", "mine", "copied", "-o", "-" if piped else str(file))
    assert done.returncode == 0, done.stderr
    data = done.stdout if piped else None
    done = pyollama(there, "store", "import", "-" if piped else str(file), data=data)
    assert done.returncode == 0, done.stderr
    assert b"success" in done.stderr
    carried = Store(there / ".ollama" / "models")
    assert carried.resolve("mine").digest == store.resolve("mine").digest
    assert carried.resolve("copied").params["seed"] == 1
    assert pyollama(there, "store", "verify").returncode == 0
    done = pyollama(here, "store", "export", "mine", "nope", "-o", str(tmp_path / "other.tar"))
    assert (done.returncode, done.stderr) == (1, b"Error: model 'nope' not found\n")
    assert not (tmp_path / "other.tar").exists()
