"""A store survives whatever happens at whichever of its writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.e2e import disk_faults
from tests.e2e.store_fault_driver import SCENARIOS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fault layer needs LD_PRELOAD")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return disk_faults.build(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be, because thousands of syncs take a disk minutes."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(prefix="pyollama-faults-", dir=memory) as name:
        yield Path(name)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_fault_at_every_write(scenario: str, library: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "tests.e2e.store_fault_driver", scenario, str(folder)]
    environment = os.environ | {"LD_PRELOAD": str(library)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["problems"] == [], done.stderr
    assert set(report["tries"]) == set(disk_faults.KINDS)
    assert min(report["tries"].values()) >= 5
