"""Under which conditions something was measured: commit, hardware, versions."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench import peers
from pyollama import __version__
from pyollama.engine.cpus import usable_cores

JSON = dict[str, Any]


def conditions() -> JSON:
    return {
        "commit": _git("describe", "--always", "--dirty"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": {
            "processor": _processor(),
            "cores": usable_cores(),
            "threads": os.cpu_count(),
            "memory": psutil.virtual_memory().total,
            "load": os.getloadavg()[0],
        },
        "versions": {
            "pyollama": __version__,
            "llama.cpp": peers.pinned_commit(),
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        "build": peers.build_options(peers.ROOT / "build" / "dev"),
    }


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(peers.ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
