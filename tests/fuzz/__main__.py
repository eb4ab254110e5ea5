"""Fuzz all targets, or those that are named: ``python -m tests.fuzz SECONDS [TARGET ...]``."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "fuzz"
AT_A_TIME = 2


def fuzz(name: str, seconds: int) -> bool:
    """Whether ``name`` stood it; if not, the input and the log lie in its folder."""
    folder = WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.run", name, str(folder)]
    with (folder / "log").open("w") as log:
        code = subprocess.call(
            ["nice", "-n", "10", *command, f"-max_total_time={seconds}"],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
    last = (folder / "log").read_text(errors="replace").strip().rpartition("\n")[2]
    print(f"{name}: {last if code == 0 else f'finding, see {folder}/log'}", flush=True)
    return code == 0


def main() -> int:
    seconds, wanted = int(sys.argv[1]), sys.argv[2:] or list(TARGETS)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return 0 if all(list(pool.map(lambda name: fuzz(name, seconds), wanted))) else 1


if __name__ == "__main__":
    sys.exit(main())
