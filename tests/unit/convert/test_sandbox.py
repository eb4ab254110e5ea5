"""What the process gives up cannot be had again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 1 << 28


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.fork()",
        "import os; os.symlink('/etc/passwd', 'x')",
        "import pickle; pickle.loads(b'cposix\\nsystem\\n.')",
    ],
)
def test_is_refused(attempt: str) -> None:
    done = _run(attempt)
    assert done.returncode == 1
    assert "PermissionError: reading a model does not need" in done.stderr


def test_files_have_an_end(tmp_path: Path) -> None:
    path = tmp_path / "long"
    program = f"import os; os.truncate(open({str(path)!r}, 'wb').fileno(), {LIMIT + 1})"
    done = _run(program, writable=[str(path)])
    assert done.returncode == 1
    assert "OSError" in done.stderr
    assert path.stat().st_size == 0


def test_memory_has_an_end() -> None:
    done = _run(f"bytes({LIMIT})")
    assert done.returncode == 1
    assert "MemoryError" in done.stderr


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("given", "given-not"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text").write_text("content")
    return tmp_path / "given", tmp_path / "given-not"


@pytest.mark.parametrize("name", ["{given}/text", "{given}/../given/text", os.devnull])
def test_what_was_given_can_be_read(folders: tuple[Path, Path], name: str) -> None:
    done = _run(
        f"print(open({name.format(given=folders[0])!r}).read())", readable=[str(folders[0])]
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("{other}/text", "r"),
        ("{given}/../given-not/text", "rb"),
        ("{given}/text", "r+"),
        ("{given}/new", "w"),
        ("{given}/new", "x"),
        ("{given}/new", "a"),
        ("/etc/passwd", "r"),
        ("/proc/self/environ", "r"),
        ("/proc/self/root/etc/passwd", "r"),
    ],
)
def test_nothing_else_is_opened(folders: tuple[Path, Path], name: str, mode: str) -> None:
    path = name.format(given=folders[0], other=folders[1])
    done = _run(f"open({path!r}, {mode!r})", readable=[str(folders[0])])
    assert done.returncode == 1
    assert "is no part of the model" in done.stderr
    assert not (folders[0] / "new").exists()


def _run(program: str, **places: list[str]) -> subprocess.CompletedProcess[str]:
    enter = f"from pyollama.convert import sandbox; sandbox.enter({LIMIT}, **{places}); "
    command = [sys.executable, "-c", enter + program]
    return subprocess.run(command, capture_output=True, text=True, check=False)
