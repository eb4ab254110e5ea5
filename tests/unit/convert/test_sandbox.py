"""What the process gives up cannot be had again."""

from __future__ import annotations

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
        "import pickle; pickle.loads(b'cposix\\nsystem\\n.')",
    ],
)
def test_is_refused(attempt: str) -> None:
    done = _run(attempt)
    assert done.returncode == 1
    assert "PermissionError: reading a model does not need" in done.stderr


def test_files_have_an_end(tmp_path: Path) -> None:
    path = tmp_path / "long"
    done = _run(f"import os; os.truncate(open({str(path)!r}, 'wb').fileno(), {LIMIT + 1})")
    assert done.returncode == 1
    assert "OSError" in done.stderr
    assert path.stat().st_size == 0


def test_memory_has_an_end() -> None:
    done = _run(f"bytes({LIMIT})")
    assert done.returncode == 1
    assert "MemoryError" in done.stderr


def _run(program: str) -> subprocess.CompletedProcess[str]:
    enter = f"from pyollama.convert import sandbox; sandbox.enter({LIMIT}); "
    command = [sys.executable, "-c", enter + program]
    return subprocess.run(command, capture_output=True, text=True, check=False)
