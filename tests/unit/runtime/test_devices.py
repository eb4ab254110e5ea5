from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from pyollama.runtime.devices import memory

GROUP = "sys/fs/cgroup"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_control_groups_it_is_the_machine(tmp_path: Path) -> None:
    _, total = memory(tmp_path)
    assert total == psutil.virtual_memory().total


@pytest.mark.parametrize("inside", [True, False])
def test_version_2(tmp_path: Path, inside: bool) -> None:
    folder = GROUP if inside else f"{GROUP}/a/b"
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b\n",
            f"{folder}/memory.max": "1000000\n",
            f"{folder}/memory.current": "700000\n",
            f"{folder}/memory.stat": "anon 5\ninactive_file 200000\n",
        },
    )
    assert memory(root) == (500_000, 1_000_000)


def test_the_tightest_level_counts(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b\n",
            f"{GROUP}/a/memory.max": "1000\n",
            f"{GROUP}/a/memory.current": "900\n",
            f"{GROUP}/a/b/memory.max": "max\n",
            f"{GROUP}/a/b/memory.current": "10\n",
        },
    )
    assert memory(root) == (100, 1000)


def test_version_1(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "3:cpu,cpuacct:/x\n4:memory:/x\n",
            f"{GROUP}/memory/x/memory.limit_in_bytes": "5000\n",
            f"{GROUP}/memory/x/memory.usage_in_bytes": "6000\n",
        },
    )
    assert memory(root) == (0, 5000)


def test_odd_files_are_ignored(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {"proc/self/cgroup": "nonsense\n0::\n", f"{GROUP}/memory.max": "many\n"},
    )
    assert memory(root)[1] == psutil.virtual_memory().total
