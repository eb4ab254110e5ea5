"""Building and using ``disk_faults.c``, and the rules that its traces have to keep to."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")

KILL = -1
KINDS = {"kill": KILL, "EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EROFS": errno.EROFS}


def build(folder: Path) -> Path:
    """The library, compiled into ``folder``."""
    library = folder / "disk_faults.so"
    compiler = os.environ.get("CC", "cc")
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(library)]
    subprocess.run([compiler, *flags, str(SOURCE), "-ldl", "-pthread"], check=True)
    return library


def environment(
    library: Path, root: Path, kind: str, at: int, *, trigger: Path, trace: Path | None = None
) -> Mapping[str, str]:
    """What a process needs to meet the fault ``kind`` at its write number ``at`` below ``root``.

    Writes count once ``trigger`` exists.
    """
    return {
        "LD_PRELOAD": str(library),
        "FAULT_ROOT": str(root),
        "FAULT_KIND": kind if kind == "kill" else str(KINDS[kind]),
        "FAULT_AT": str(at),
        "FAULT_TRIGGER": str(trigger),
        "FAULT_TRACE": str(trace or ""),
    }


def breaches(trace: str, root: Path) -> list[str]:
    """What a power cut could have lost at some line of ``trace``.

    A file that gets its final name must have been synced after its last write; and what was
    renamed into the folder of blobs must be synced there before a manifest gets its name.
    """
    found = []
    unsynced: set[str] = set()
    loose: set[str] = set()
    for line in trace.splitlines():
        call, path, target = line.split("\t")
        match call:
            case "write" | "truncate" | "create":
                unsynced.add(path)
            case "sync":
                unsynced.discard(path)
                loose = {name for name in loose if str(Path(name).parent) != path}
            case "delete":
                unsynced.discard(path)
            case "rename" | "link":
                if path in unsynced:
                    found.append(f"{path} becomes {target} before it is synced")
                if Path(target).is_relative_to(root / "manifests") and loose:
                    found.append(f"{target} is written before the names of {sorted(loose)} are")
                loose.add(target)
    if loose:
        found.append(f"the names of {sorted(loose)} are never synced")
    return found
