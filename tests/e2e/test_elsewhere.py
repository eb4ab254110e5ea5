"""Models that are not in the store, and models under other names, through a real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import httpx
import pytest
from tests.e2e.running import Server, clean_environment, running_server
from tests.native import tiny

from pyollama import builtin


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def file(home: Path) -> Path:
    path = home / "some models" / "tiny.gguf"
    path.parent.mkdir()
    shutil.copy(builtin.FOLDER / "model.gguf", path)
    path.chmod(0o644)
    lm_studio = home / ".lmstudio" / "models" / "Publisher" / "Tiny-GGUF"
    snapshot = home / ".cache/huggingface/hub/models--user--Tiny-GGUF/snapshots/abc"
    for folder in (lm_studio, snapshot):
        folder.mkdir(parents=True)
        (folder / "Tiny-F16.gguf").symlink_to(path)
    return path


@pytest.fixture(scope="module")
def server(home: Path, file: Path) -> Iterator[Server]:
    aliases = f"gpt-4o=builtin,outside={file},nowhere=missing"
    with running_server(home, {"PYOLLAMA_ALIASES": aliases}) as running:
        yield running


def pyollama(
    server: Server, *arguments: str, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyollama", *arguments],
        env=server.environment,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def post(server: Server, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    body = {"stream": False, **body}
    return httpx.post(f"{server.url}/api/{path}", json=body, headers=headers, timeout=None)


def stored(server: Server) -> list[Path]:
    """All files of the store: nothing of what is used elsewhere gets there."""
    return [path for path in (server.home / ".ollama" / "models").rglob("*") if path.is_file()]


def test_a_file_is_run_shown_and_stopped(server: Server, file: Path) -> None:
    done = pyollama(server, "run", "./tiny.gguf", "Hello!", folder=file.parent)
    assert (done.returncode, bool(done.stdout.strip())) == (0, True), done.stderr
    assert pyollama(server, "run", "tiny.gguf", "Hello!", folder=file.parent).returncode == 0
    assert pyollama(server, "run", str(file.parent), "Hello!").returncode == 0
    shown = pyollama(server, "show", str(file))
    assert re.search(r"architecture +qwen2", shown.stdout)
    assert f"FROM {file}" in pyollama(server, "show", str(file), "--modelfile").stdout
    assert pyollama(server, "ps").stdout.count(str(file)) == 1
    assert pyollama(server, "stop", str(file)).returncode == 0
    assert str(file) not in pyollama(server, "ps").stdout
    assert str(file) not in pyollama(server, "list").stdout
    assert stored(server) == []


def test_a_split_model_is_one(server: Server, tmp_path: Path) -> None:
    whole = tiny.llama_like(tmp_path / "whole.gguf")
    (tmp_path / "split").mkdir()
    tiny.llama_like(tmp_path / "split" / "part.gguf", split_every=8)
    answers, shown = [], []
    for path in (whole, tmp_path / "split" / "part-00001-of-00003.gguf", tmp_path / "split"):
        options = {"temperature": 0, "num_predict": 8}
        body = {"model": str(path), "prompt": "the", "raw": True, "options": options}
        answers.append(post(server, "generate", body).json()["response"])
        shown.append(post(server, "show", {"model": str(path)}).json()["details"])
    assert answers[0]
    assert answers[1:] == answers[:1] * 2
    assert shown[1:] == shown[:1] * 2
    (tmp_path / "split" / "part-00003-of-00003.gguf").unlink()
    missing = post(server, "generate", {"model": str(tmp_path / "split"), "prompt": "the"})
    assert missing.status_code == 404


def test_a_file_makes_embeddings(server: Server, tmp_path: Path) -> None:
    path = tiny.llama_like(tmp_path / "embed.gguf", pooling=gguf.PoolingType.MEAN)
    answer = post(server, "embed", {"model": str(path), "input": ["one", "two"]}).json()
    assert len(answer["embeddings"]) == 2
    old = post(server, "embeddings", {"model": str(path), "prompt": "one"}).json()
    assert len(old["embedding"]) == len(answer["embeddings"][0]) > 0


@pytest.mark.parametrize(
    "name",
    [
        "hf.co/user/tiny-gguf:f16",
        "huggingface.co/user/Tiny-GGUF",
        "lmstudio/publisher/tiny-gguf",
    ],
)
def test_what_other_programs_have_is_run(server: Server, name: str) -> None:
    done = pyollama(server, "run", name, "Hello!")
    assert (done.returncode, bool(done.stdout.strip())) == (0, True), done.stderr
    shown = post(server, "show", {"model": name}).json()["modelfile"]
    folder = ".lmstudio/models" if name.startswith("lmstudio") else ".cache/huggingface/hub"
    assert f"FROM {server.home / folder}" in shown
    assert stored(server) == []


def test_a_program_finds_what_others_have(server: Server) -> None:
    program = "from pyollama import LLM\nwith LLM('lmstudio/publisher/tiny-gguf') as llm:\n"
    program += "    print(llm.generate('Hello!', max_tokens=4).text)"
    environment = clean_environment(server.home)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, bool(done.stdout.strip())) == (0, True), done.stderr


def test_files_are_for_programs_on_this_machine(server: Server, file: Path) -> None:
    """Others cannot even find out whether there is such a file."""
    asked: list[tuple[str, dict[str, Any]]] = [
        ("generate", {"prompt": "Hello!"}),
        ("chat", {"messages": [{"role": "user", "content": "Hello!"}]}),
        ("show", {}),
        ("embed", {"input": "Hello!"}),
    ]
    for path, body in asked:
        here = post(server, path, {"model": str(file), **body})
        assert here.status_code == (501 if path == "embed" else 200), here.text
        answers = [
            post(server, path, {"model": str(name), **body}, **{header: "8.8.8.8"})
            for name in (file, file.parent, file.with_name("nothing.gguf"))
            for header in ("X-Forwarded-For", "Forwarded", "Origin")
        ]
        assert {answer.status_code for answer in answers} <= {400, 403}
        assert len({answer.text for answer in answers if answer.status_code == 400}) == 1
        cached = post(server, path, {"model": "hf.co/user/tiny-gguf", **body}, Via="proxy")
        assert cached.status_code == 404


def test_wrong_paths_are_told(server: Server, file: Path) -> None:
    done = pyollama(server, "run", "./nothing.gguf", "Hello!")
    assert (done.returncode, done.stderr) == (1, "Error: ./nothing.gguf: no such file or folder\n")
    elsewhere = clean_environment(server.home) | {"OLLAMA_HOST": "192.0.2.1:1"}
    command = [sys.executable, "-c", _ASKS_FAR_AWAY, str(file)]
    done = subprocess.run(command, env=elsewhere, capture_output=True, text=True, check=False)
    assert "is a file of this machine, and the server is http://192.0.2.1:1" in done.stdout


_ASKS_FAR_AWAY = """
import sys
from pyollama.cli.paths import model_named
from pyollama.client import Client
from pyollama.errors import PyollamaError
try:
    model_named(sys.argv[1], Client("http://192.0.2.1:1"))
except PyollamaError as error:
    print(error)
"""


def test_aliases_are_names_everywhere_but_in_lists(server: Server) -> None:
    for name in ("gpt-4o", "GPT-4o:latest", "outside"):
        answer = post(server, "generate", {"model": name, "prompt": "Hello!"}).json()
        assert answer["response"]
        assert answer["model"] == name
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello!"}]}
    assert post(server, "chat", body).json()["message"]["content"]
    assert post(server, "embed", {"model": "gpt-4o", "input": "x"}).status_code == 501
    assert post(server, "show", {"model": "gpt-4o"}).json()["details"]["family"] == "qwen2"
    assert post(server, "generate", {"model": "nowhere"}).status_code == 404
    outsider = post(server, "generate", {"model": "outside", "prompt": "Hello!"}, Via="proxy")
    assert outsider.status_code == 200, "whoever configured the alias has allowed the file"
    tags = httpx.get(f"{server.url}/api/tags").json()["models"]
    assert [model["name"] for model in tags] == ["builtin:latest"]
    unloaded = post(server, "generate", {"model": "gpt-4o", "keep_alive": 0})
    assert unloaded.json()["done_reason"] == "unload"


def test_a_server_does_not_start_with_half_an_alias(tmp_path: Path) -> None:
    environment = clean_environment(tmp_path) | {"PYOLLAMA_ALIASES": "gpt-4o=a b"}
    command = [sys.executable, "-m", "pyollama", "serve"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "PYOLLAMA_ALIASES: 'a b' is not the name of a model" in done.stderr


def test_models_are_created_without_an_upload(server: Server, file: Path, tmp_path: Path) -> None:
    """A file that nobody changes has one copy on disk."""
    final = tmp_path / "final.gguf"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # another blob than other tests have
    final.write_bytes(data)
    final.chmod(0o444)
    (tmp_path / "Modelfile").write_text("FROM ./final.gguf\n")
    done = pyollama(server, "create", "linked", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "copying file" not in done.stderr
    digest = json.loads(
        (
            server.home / ".ollama/models/manifests/registry.ollama.ai/library/linked/latest"
        ).read_text()
    )["layers"][0]["digest"]
    blob = server.home / ".ollama" / "models" / "blobs" / digest.replace(":", "-")
    assert blob.stat().st_ino == final.stat().st_ino
    assert pyollama(server, "run", "linked", "Hello!").stdout.strip()
    assert pyollama(server, "rm", "linked").returncode == 0
    assert final.read_bytes() == data
