"""How many threads computing may use on this machine, or in this container."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from pathlib import Path

_ROOT = Path("/")

SMALL_MODEL = 16 << 20
"""Bytes of weights below which one thread is fastest: a layer is computed in less time than it
takes threads to meet, and on a busy machine they wait a time slice for each other."""


def compute_threads(model_size: int) -> int:
    """How many threads should compute for a model with ``model_size`` bytes of weights."""
    return 1 if model_size < SMALL_MODEL else usable_cores()


def usable_cores(root: Path = _ROOT) -> int:
    """Physical cores this process may run on, within the CPU quota of its control group.

    Two hardware threads of a core share the units that matrices are multiplied with, so more
    threads than cores only wait for each other. ``root`` is where ``/sys`` and ``/proc`` are found.
    """
    allowed = _allowed_cpus()
    cores = {_core_of(root, cpu) for cpu in allowed}
    quota = _quota(root)
    return max(1, min(len(cores), len(allowed) if quota is None else math.ceil(quota)))


def _allowed_cpus() -> Collection[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def _core_of(root: Path, cpu: int) -> str:
    """A text that all hardware threads of a core have in common."""
    siblings = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    return _read(siblings) or str(cpu)


def _quota(root: Path) -> float | None:
    """CPUs' worth of time the control group grants; the tightest of all levels counts."""
    quotas = []
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":  # version 2
            quotas += _quotas_v2(root / "sys/fs/cgroup", path)
        elif "cpu" in controllers.split(","):
            quotas += _quotas_v1(root / "sys/fs/cgroup" / controllers, path)
    return min(quotas, default=None)


def _quotas_v2(base: Path, path: str) -> list[float]:
    quotas = []
    for level in _levels(base, path):
        match (_read(level / "cpu.max") or "").split():
            case [limit, period] if limit.isdigit() and period.isdigit() and int(period):
                quotas.append(int(limit) / int(period))
    return quotas


def _quotas_v1(base: Path, path: str) -> list[float]:
    quotas = []
    for level in _levels(base, path):
        limit, period = _read(level / "cpu.cfs_quota_us"), _read(level / "cpu.cfs_period_us")
        if limit and period and limit.isdigit() and period.isdigit() and int(period):
            quotas.append(int(limit) / int(period))
    return quotas


def _levels(base: Path, path: str) -> list[Path]:
    """The group's folder and all above it. Inside a container the group is often just the base."""
    group = base / path.strip("/")
    return [group, *(parent for parent in group.parents if parent.is_relative_to(base))]


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
