"""Starting the process that converts, watching it, and ending it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO

import msgspec

from pyollama.convert.job import Job, Outcome
from pyollama.errors import StoreError
from pyollama.types import Progress

log = logging.getLogger(__name__)

_POLL = 0.2
_SECONDS = 900.0
_SECONDS_PER_BYTE = 300 / 2**30
_GROWTH = 4
"""How many times as long as its source a result may be: FP8 becomes F32 at the most."""
_SLACK = 1 << 28
_TAIL = 4000
_KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV")
_NO_DIGEST = "0000000000000000000"


class Converter:
    """Converts with the scripts of llama.cpp that lie in ``scripts``."""

    def __init__(self, scripts: Path) -> None:
        self._scripts = scripts

    def __call__(
        self,
        folder: Path,
        target: Path,
        *,
        kind: str = "model",
        outtype: str = "auto",
        base: Path | None = None,
    ) -> Generator[Progress, None, bool]:
        """Write ``target`` from the files in ``folder``; whether there is a projector to make too.

        ``kind``, ``outtype`` and ``base`` as in :class:`Job`. Closing the generator ends the
        process at once. What it had written so far stays, for the caller to delete.
        """
        total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        job = Job(
            scripts=str(self._scripts),
            folder=str(folder),
            target=str(target),
            kind=kind,
            outtype=outtype,
            max_bytes=_GROWTH * total + _SLACK,
            base=str(base or ""),
        )
        if not (self._scripts / "convert_hf_to_gguf.py").is_file():
            raise StoreError(
                f"safetensors files cannot be converted: {self._scripts} holds no converter",
                hint="reinstall the package",
            )
        with tempfile.TemporaryDirectory(prefix="pyollama-home-") as home:
            outcome = yield from _watch(job, total, Path(home))
        if outcome.error:
            raise StoreError(outcome.error, hint=outcome.hint)
        return outcome.has_projector


def _watch(job: Job, total: int, home: Path) -> Generator[Progress, None, Outcome]:
    with tempfile.TemporaryFile() as words:
        process = _start(job, home, words)
        try:
            deadline = time.monotonic() + _SECONDS + total * _SECONDS_PER_BYTE
            while not _ended(process):
                if time.monotonic() > deadline:
                    raise StoreError("converting the model took too long and was stopped")
                done = min(_size(Path(job.target)), total)
                yield Progress("converting model", _NO_DIGEST, total, done)
        finally:
            process.kill()
            process.wait()
            answer, _ = process.communicate()
        try:
            outcome = msgspec.json.decode(answer, type=Outcome)
        except msgspec.DecodeError:
            outcome = Outcome(error=f"the converter ended with status {process.returncode}")
        if outcome.error:
            words.seek(max(0, words.seek(0, os.SEEK_END) - _TAIL))
            log.warning("a conversion failed: %s", words.read().decode(errors="replace"))
        return outcome


def _start(job: Job, home: Path, words: IO[bytes]) -> subprocess.Popen[bytes]:
    """The process ends when its stdin does, so also with this process."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {"HOME": str(home), "HF_HOME": str(home), "TOKENIZERS_PARALLELISM": "false"}
    environment |= dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "pyollama.convert"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=words,
        env=environment,
        cwd=home,
    )
    if process.stdin:
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        process.stdin.flush()
    return process


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended within the time between two looks."""
    try:
        process.wait(_POLL)
    except subprocess.TimeoutExpired:
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
