"""What ``show --modelfile`` prints makes the same model again, with the real commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.running import Server, running_server
from tests.native import tiny

from pyollama.store.gguf import read_gguf
from pyollama.store.gguf_writer import copied_fields, copied_tensor, scalar, write_gguf

_JINJA = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}Answer as asked: "
_EVERYTHING = '''# A comment
FROM ./weights.gguf
adapter ./lora.gguf
TEMPLATE """{{- range .Messages }}
{{- if eq .Role "user" }}<u>{{ .Content }}{{ end }}
{{ end }}"""
SYSTEM "  two blanks before, one behind "
PARAMETER temperature 0.1
PARAMETER num_ctx 256
PARAMETER use_mmap false
PARAMETER stop " leading"
PARAMETER stop """
"""
PARAMETER stop "quoted""
LICENSE """First
"licence"
"""
LICENSE Second # licence
MESSAGE user Hi
MESSAGE assistant """Hello
there"""
RENDERER qwen3.5
PARSER qwen3.5
REQUIRES v0.14.0
'''
_CASES = {
    "everything": _EVERYTHING,
    "only the weights": "FROM ./weights.gguf\n",
    "without a template": "FROM ./jinja.gguf\nSYSTEM Be brief.\n",
    "the bare prompt": "FROM ./jinja.gguf\nTEMPLATE {{ .Prompt }}\n",
    "nothing to chat with": "FROM ./embed.gguf\nLICENSE MIT\n",
    "in UTF-16": "\ufeffFROM ./jinja.gguf\nSYSTEM Grüße \U0001f600\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("home"), {"PYOLLAMA_BUILTIN": "0"}) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    weights = read_gguf(tiny.llama_like(folder / "weights.gguf"))
    tiny.bert_like(folder / "embed.gguf")
    tiny.lora(folder / "lora.gguf")
    fields = copied_fields(weights) | {"tokenizer.chat_template": scalar("string", _JINJA)}
    tensors = [copied_tensor(weights, tensor) for tensor in weights.tensors]
    with (folder / "jinja.gguf").open("wb") as file:
        for _ in write_gguf(file, fields, tensors):
            pass
    return folder


def _run(server: Server, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyollama", *arguments],
        env=server.environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def _done(server: Server, folder: Path, *arguments: str) -> str:
    done = _run(server, folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _parts(server: Server, model: str) -> tuple[Any, list[tuple[str, str]]]:
    """The config and the other layers of a model, as its manifest has them."""
    store = server.home / ".ollama" / "models"
    manifest = json.loads(
        (store / "manifests/registry.ollama.ai/library" / model / "latest").read_text()
    )
    layers = sorted((layer["mediaType"], layer["digest"]) for layer in manifest["layers"])
    blob = store / "blobs" / manifest["config"]["digest"].replace(":", "-")
    return json.loads(blob.read_text()), layers


@pytest.mark.parametrize("case", _CASES)
def test_shown_modelfile_makes_the_same_model(server: Server, folder: Path, case: str) -> None:
    encoding = "utf-16-le" if case == "in UTF-16" else "utf-8"
    (folder / "Modelfile").write_bytes(_CASES[case].encode(encoding))
    _done(server, folder, "create", "first")
    shown = _done(server, folder, "show", "first", "--modelfile")
    (folder / "Shown").write_text(shown)
    _done(server, folder, "create", "second", "-f", "Shown")
    assert _parts(server, "second") == _parts(server, "first")
    again = _done(server, folder, "show", "second", "--modelfile")
    assert again.replace("second:latest", "first:latest") == shown


def test_flags_of_show(server: Server, folder: Path) -> None:
    (folder / "Modelfile").write_text(_EVERYTHING)
    _done(server, folder, "create", "first")

    def show(flag: str) -> str:
        return _done(server, folder, "show", "first", flag)

    assert show("--system") == "  two blanks before, one behind "
    assert show("--license") == 'First\n"licence"\n\nSecond # licence\n'
    assert show("--template").startswith("{{- range .Messages }}\n{{- if eq")
    parameters = show("--parameters").splitlines()
    assert [line.split(maxsplit=1) for line in parameters] == [
        ["num_ctx", "256"],
        ["stop", '" leading"'],
        ["stop", '"\\n"'],
        ["stop", '"quoted\\""'],
        ["temperature", "0.1"],
        ["use_mmap", "false"],
    ]
    summary = _done(server, folder, "show", "first")
    assert "    requires " in summary
    assert "  System\n    two blanks before, one behind" in summary
    assert "blk.0.attn_q.weight" in _done(server, folder, "show", "first", "--verbose")


@pytest.mark.parametrize(
    ("modelfile", "error"),
    [
        ("FROM ./jinja.gguf\nFOO bar\n", "(line 2): command must be one of"),
        ("FROM ./jinja.gguf\nPARAMETER temperature hot\n", "invalid float value [hot]\nline 2"),
        ("FROM ./jinja.gguf\n\nPARAMETER nonsense 1\n", "unknown parameter 'nonsense'\nline 3"),
        ("FROM ./jinja.gguf\nREQUIRES soon\n", "requires must be a valid semver (e.g. 0.14.0)"),
        ('FROM ./jinja.gguf\nSYSTEM """open\n', "unexpected EOF\nthe quotes that begin in line 2"),
        ("FROM ./jinja.gguf\nRENDERER qwen4\n", 'unknown renderer "qwen4"'),
        ("FROM ./jinja.gguf\nTEMPLATE {{ .Prompt\n", "template error"),
    ],
)
def test_errors_say_where(server: Server, folder: Path, modelfile: str, error: str) -> None:
    (folder / "Modelfile").write_text(modelfile)
    failed = _run(server, folder, "create", "bad")
    assert failed.returncode == 1
    assert error in failed.stderr
    assert _run(server, folder, "show", "bad").returncode == 1


def test_list_copy_and_remove(server: Server, folder: Path) -> None:
    (folder / "Modelfile").write_text("FROM ./jinja.gguf\n")
    _done(server, folder, "create", "first")
    assert _done(server, folder, "cp", "first", "space/copy:v1") == (
        "copied 'first' to 'space/copy:v1'\n"
    )
    rows = _done(server, folder, "list", "SPACE").splitlines()
    assert rows[0].split() == ["NAME", "ID", "SIZE", "MODIFIED"]
    assert [row.split()[0] for row in rows[1:]] == ["space/copy:v1"]
    assert _done(server, folder, "rm", "space/copy:v1", "first") == (
        "deleted 'space/copy:v1'\ndeleted 'first'\n"
    )
    gone = _run(server, folder, "rm", "first")
    assert (gone.returncode, gone.stderr) == (1, "Error: model 'first' not found\n")
