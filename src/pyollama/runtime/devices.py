"""What a model can be put on: the GPUs, and the memory of this machine or container."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class GPU:
    """``index`` counts as llama.cpp does. An integrated one shares the main memory."""

    index: int
    name: str
    integrated: bool
    memory_free: int
    memory_total: int


@dataclass(frozen=True, slots=True)
class Hardware:
    """At one moment; sizes are bytes. ``memory_free`` is what can be had without swapping."""

    gpus: tuple[GPU, ...]
    memory_free: int
    memory_total: int


def hardware(root: Path = _ROOT) -> Hardware:
    """Ask the system and the drivers. ``root`` is where ``/sys`` and ``/proc`` are found."""
    from pyollama import _native  # only needed where a model is about to be loaded

    gpus = [device for device in _native.devices() if device.kind in ("gpu", "igpu")]
    free, total = memory(root)
    return Hardware(
        gpus=tuple(
            GPU(index, gpu.name, gpu.kind == "igpu", gpu.memory_free, gpu.memory_total)
            for index, gpu in enumerate(gpus)
        ),
        memory_free=free,
        memory_total=total,
    )


def memory(root: Path = _ROOT) -> tuple[int, int]:
    """Free and total main memory, within the limits of the control groups around us."""
    system = psutil.virtual_memory()
    free, total = system.available, system.total
    for limit, used in _group_limits(root):
        total = min(total, limit)
        free = min(free, max(0, limit - used))
    return free, total


def _group_limits(root: Path) -> Iterator[tuple[int, int]]:
    """(limit, bytes in use) of each control group that has a limit; page cache is not in use."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            files = ("memory.max", "memory.current")
            base = root / "sys/fs/cgroup"
        elif "memory" in controllers.split(","):
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            base = root / "sys/fs/cgroup" / controllers
        else:
            continue
        # Inside a container the group that is named often lies outside what can be seen.
        group = base / path.strip("/")
        for level in (group, *group.parents):
            if not level.is_relative_to(base):
                break
            limit, used = (_text(level / name).strip() for name in files)
            if limit.isdigit() and used.isdigit():
                yield int(limit), int(used) - _page_cache(level)


def _page_cache(group: Path) -> int:
    for line in _text(group / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file") and value.isdigit():
            return int(value)
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
