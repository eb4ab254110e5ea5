"""The commands that Ollama does not have, against a real server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from tests.e2e.running import Server, clean_environment, free_port, running_server
from tests.native import tiny

from pyollama import __version__


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.bert_like(tmp_path_factory.mktemp("models") / "bert.gguf"))


def run(
    environment: dict[str, str], *arguments: str, text: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyollama", *arguments],
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def test_load(server: Server, embedder: str) -> None:
    done = run(server.environment, "load", "builtin", embedder, "--keepalive", "1h")
    assert (done.returncode, done.stdout) == (0, f"loaded 'builtin'\nloaded '{embedder}'\n")
    running = run(server.environment, "ps").stdout
    assert "builtin" in running
    assert "bert" in running
    assert "not found" in run(server.environment, "load", "nope").stderr


def test_tokenize(server: Server) -> None:
    done = run(server.environment, "tokenize", "builtin", "Hello,", "you!")
    assert (done.returncode, done.stderr) == (0, "")
    pieces = [json.loads(line.split(maxsplit=1)[1]) for line in done.stdout.splitlines()]
    assert "".join(pieces).strip() == "Hello, you!"
    counted = run(server.environment, "tokenize", "builtin", "--count", text="Hello, you!")
    assert counted.stdout == f"{len(pieces)}\n"


def test_embed(server: Server, embedder: str) -> None:
    spelled = run(server.environment, "embed", embedder, "one", "two words")
    assert (spelled.returncode, spelled.stderr) == (0, "")
    vectors = [json.loads(line) for line in spelled.stdout.splitlines()]
    assert len(vectors) == 2
    assert sum(x * x for x in vectors[0]) == pytest.approx(1, abs=1e-3)
    lines = "one\ntwo words\n" * 40  # more than are sent at a time
    piped = run(server.environment, "embed", embedder, "--dimensions", "4", text=lines)
    cut = [json.loads(line) for line in piped.stdout.splitlines()]
    assert len(cut) == 80
    assert {len(vector) for vector in cut} == {4}
    refused = run(server.environment, "embed", "builtin", "one")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "does not support embeddings" in refused.stderr


def test_signing_in_is_explained(server: Server) -> None:
    for name in ("signin", "login"):
        done = run(server.environment, name)
        assert done.returncode == 1
        assert "id_ed25519.pub" in done.stderr
    assert run(server.environment, "logout").stdout == "You are not signed in to ollama.com\n"


def test_the_doctor_finds_all_well(server: Server) -> None:
    done = run(server.environment, "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "problem" not in done.stdout
    assert f"ok      server    version {__version__} answers at {server.url}\n" in done.stdout
    assert "ok      store     1 model(s) in " in done.stdout


def test_the_doctor_says_what_to_do(tmp_path: Path) -> None:
    here = clean_environment(tmp_path)
    free = run(here | {"OLLAMA_HOST": f"127.0.0.1:{free_port()}"}, "doctor")
    assert free.returncode == 0
    assert "'pyollama serve' starts one" in free.stdout

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))  # taken, though nothing listens
        taken = run(here | {"OLLAMA_HOST": f"127.0.0.1:{other.getsockname()[1]}"}, "doctor")
    assert taken.returncode == 1
    assert "problem server    cannot listen at" in taken.stdout

    with socket.create_server(("127.0.0.1", 0)) as other:
        thread = Thread(target=lambda: other.accept()[0].close())  # no HTTP
        thread.start()
        taken = run(here | {"OLLAMA_HOST": f"127.0.0.1:{other.getsockname()[1]}"}, "doctor")
        thread.join()
    assert taken.returncode == 1
    assert f"process {os.getpid()})" in taken.stdout

    away = run(here | {"OLLAMA_HOST": "http://pyollama.invalid:1"}, "doctor")
    assert away.returncode == 1
    assert "set OLLAMA_HOST to another address" in away.stdout

    bad = run(here | {"OLLAMA_MAX_QUEUE": "many", "OLLAMA_HOST": "127.0.0.1:1"}, "doctor")
    assert bad.returncode == 1
    assert "problem settings  OLLAMA_MAX_QUEUE='many'" in bad.stdout

    (tmp_path / "file").touch()
    folder = run(here | {"OLLAMA_MODELS": str(tmp_path / "file")}, "doctor")
    assert folder.returncode == 1
    assert "set OLLAMA_MODELS to a folder" in folder.stdout
