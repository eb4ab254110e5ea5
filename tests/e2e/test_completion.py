"""Completion in a real shell."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.running import Server, running_server
from tests.e2e.terminal import Terminal, terminal


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        for name in ("other:one", "other:two"):
            body = {"source": "builtin", "destination": name}
            httpx.post(f"{running.url}/api/copy", json=body).raise_for_status()
        yield running


@pytest.fixture
def bash(server: Server, tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    environment = server.environment | {"PS1": "$ "}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with terminal(tmp_path, ["bash", "--norc", "--noprofile"], environment) as window:
        window.type('PS1="$ "; eval "$(_PYOLLAMA_COMPLETE=bash_source pyollama)"; clear')
        window.wait_for(r"\A\$\Z")
        yield window


def complete(window: Terminal, typed: str, expected: str) -> None:
    window.press(*typed.replace(" ", "~Space~").split("~"), "Tab")
    window.wait_for(rf"^\$ {expected}$")
    window.press("C-u")


def test_commands_flags_and_models(bash: Terminal) -> None:
    complete(bash, "pyollama tok", "pyollama tokenize")
    complete(bash, "pyollama run --hid", "pyollama run --hidethinking")
    complete(bash, "pyollama run bui", "pyollama run builtin")
    complete(bash, "pyollama show oth", "pyollama show other:")
    complete(bash, "pyollama show other:t", "pyollama show other:two")
