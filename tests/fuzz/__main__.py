"""Fuzz all targets, or those that are named: ``python -m tests.fuzz SECONDS [TARGET ...]``."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "fuzz"
AT_A_TIME = 2
SLICE = 100
"""Seconds after which a new process goes on with the same corpus: atheris loses memory where it
watches comparisons of arrays."""


def fuzz(name: str, seconds: int) -> bool:
    """Whether ``name`` stood it; if not, the input and the log lie in its folder."""
    folder = WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.run", name, str(folder)]
    runs = 0
    for begin in range(0, seconds, SLICE):
        slice_ = f"-max_total_time={min(SLICE, seconds - begin)}"
        with (folder / "log").open("w") as log:
            code = subprocess.call(
                ["nice", "-n", "10", *command, slice_],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
            )
        said = (folder / "log").read_text(errors="replace")
        done = re.search(r"^Done (\d+) runs", said, re.MULTILINE)
        if code != 0 or done is None:
            print(f"{name}: finding, see {folder}/log", flush=True)
            return False
        runs += int(done[1])
    print(f"{name}: {runs} inputs in {seconds} s", flush=True)
    return True


def main() -> int:
    seconds, wanted = int(sys.argv[1]), sys.argv[2:] or list(TARGETS)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return 0 if all(list(pool.map(lambda name: fuzz(name, seconds), wanted))) else 1


if __name__ == "__main__":
    sys.exit(main())
