from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyollama.engine.cpus import SMALL_MODEL, compute_threads, usable_cores


@pytest.fixture
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)


def write(root: Path, path: str, text: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


@pytest.mark.usefixtures("four_cpus")
class TestUsableCores:
    def test_without_any_information_every_cpu_counts(self, tmp_path: Path) -> None:
        assert usable_cores(tmp_path) == 4

    def test_hardware_threads_of_a_core_count_once(self, tmp_path: Path) -> None:
        for cpu, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
            path = f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
            write(tmp_path, path, siblings + "\n")
        assert usable_cores(tmp_path) == 2

    def test_the_tightest_quota_of_a_version_2_group_counts(self, tmp_path: Path) -> None:
        write(tmp_path, "proc/self/cgroup", "0::/a/b\n")
        write(tmp_path, "sys/fs/cgroup/a/b/cpu.max", "max 100000\n")
        write(tmp_path, "sys/fs/cgroup/a/cpu.max", "150000 100000\n")
        assert usable_cores(tmp_path) == 2

    def test_a_container_that_sees_its_group_as_the_root(self, tmp_path: Path) -> None:
        write(tmp_path, "proc/self/cgroup", "0::/somewhere/else\n")
        write(tmp_path, "sys/fs/cgroup/cpu.max", "300000 100000\n")
        assert usable_cores(tmp_path) == 3

    def test_a_version_1_group(self, tmp_path: Path) -> None:
        write(tmp_path, "proc/self/cgroup", "9:memory:/x\n4:cpu,cpuacct:/x\n")
        write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "50000\n")
        write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n")
        assert usable_cores(tmp_path) == 1

    @pytest.mark.parametrize("text", ["", "max", "x y", "-1 100000", "100000 0"])
    def test_a_quota_that_says_nothing_is_none(self, tmp_path: Path, text: str) -> None:
        write(tmp_path, "proc/self/cgroup", "0::/\n")
        write(tmp_path, "sys/fs/cgroup/cpu.max", text)
        assert usable_cores(tmp_path) == 4


def test_a_small_model_gets_one_thread() -> None:
    assert compute_threads(SMALL_MODEL - 1) == 1
    assert compute_threads(SMALL_MODEL) == usable_cores()
