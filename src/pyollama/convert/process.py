"""Starting the process that converts, watching it, and ending it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from pyollama.convert.job import Conversion, Job, Outcome, Quantization
from pyollama.errors import StoreError

log = logging.getLogger(__name__)

_POLL = 0.2
_SECONDS = 900.0
_SECONDS_PER_BYTE = 300 / 2**30
_GROWTH = 4
"""How many times as long as its source a result may be: FP8 becomes F32 at the most."""
_SLACK = 4 << 30
"""What libraries and a vocabulary need, whatever the size of the source. Both together limit the
length of a file and the memory."""
_TAIL = 4000
_KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV")


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
    ) -> Generator[int, None, bool]:
        """Write ``target`` from the files in ``folder``; whether there is a projector to make too.

        ``kind``, ``outtype`` and ``base`` as in :class:`Conversion`. Yields the bytes written so
        far; closing the generator ends the work at once. The content of ``target`` is of no use
        then.
        """
        if not (self._scripts / "convert_hf_to_gguf.py").is_file():
            raise StoreError(
                f"safetensors files cannot be converted: {self._scripts} holds no converter",
                hint="reinstall the package",
            )
        total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        job = Conversion(
            scripts=str(self._scripts),
            folder=str(folder),
            target=str(target),
            kind=kind,
            outtype=outtype,
            max_bytes=_GROWTH * total + _SLACK,
            base=str(base or ""),
        )
        outcome = yield from _done(job, (target,), _SECONDS + total * _SECONDS_PER_BYTE)
        return outcome.has_projector


def quantize(source: Path, target: Path, file_type: str) -> Generator[int, None, None]:
    """Write the weights of ``source`` to ``target`` in another type; otherwise as a conversion."""
    job = Quantization(
        source=str(source),
        target=str(target),
        file_type=file_type,
        max_bytes=_GROWTH * source.stat().st_size + _SLACK,
    )
    yield from _done(job, (target, target.with_name(f"{target.name}.part")), None)


def _done(
    job: Job, written: tuple[Path, ...], seconds: float | None
) -> Generator[int, None, Outcome]:
    """Run a job that writes the first of the files, under the names of the others until then."""
    try:
        with tempfile.TemporaryDirectory(prefix="pyollama-home-") as home:
            outcome = yield from _watch(job, written, seconds, Path(home))
    except OSError as error:
        raise StoreError(
            f"the process that makes the model cannot be run: {error}",
            hint="it needs memory, and a folder for temporary files (TMPDIR)",
        ) from error
    finally:
        for path in written[1:]:
            path.unlink(missing_ok=True)
    if outcome.error:
        raise StoreError(outcome.error, hint=outcome.hint)
    return outcome


def _watch(
    job: Job, written: tuple[Path, ...], seconds: float | None, home: Path
) -> Generator[int, None, Outcome]:
    deadline = None if seconds is None else time.monotonic() + seconds
    with tempfile.TemporaryFile() as words:
        process = _start(job, home, words)
        try:
            while not _ended(process):
                if deadline is not None and time.monotonic() > deadline:
                    raise StoreError("converting the model took too long and was stopped")
                yield max(map(_size, written))
        finally:
            process.kill()
            answer, _ = process.communicate()
        try:
            outcome = msgspec.json.decode(answer, type=Outcome)
        except msgspec.DecodeError:
            outcome = Outcome(
                error=f"the process that made the model ended with status {process.returncode}",
                hint="the log of the server has its last words",
            )
        if outcome.error:
            words.seek(max(0, words.seek(0, os.SEEK_END) - _TAIL))
            log.warning("a model was not made: %s", words.read().decode(errors="replace"))
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
        with suppress(BrokenPipeError):  # it has ended, which is seen soon enough
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
