"""Requests in random company: nothing of one shows in another, and nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_random_mix_of_requests(tmp_path: Path) -> None:
    out = tmp_path / "canary.json"
    command = [sys.executable, "-m", "bench", "canary", "--requests", "60", "--at-once", "12"]
    kept = {name: value for name, value in os.environ.items() if "OLLAMA" not in name}
    done = subprocess.run(
        [*command, "--out", str(out)],
        cwd=ROOT,
        env=kept | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(out.read_text())["figures"]
    assert all(figure["kept"] for figure in figures.values() if "bound" in figure)
    assert sum(figures[name]["median"] for name in ("answered", "cancelled", "refused")) == 60
