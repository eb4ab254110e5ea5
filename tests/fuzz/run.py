"""One target under libFuzzer: ``python -m tests.fuzz.run TARGET FOLDER [libFuzzer's options]``.

An input may take a second of processor time and 64 MB of memory more than there was before it.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

import atheris

# An editable install has a finder of its own, whose modules atheris cannot instrument.
sys.meta_path[:] = [one for one in sys.meta_path if "editable" not in type(one).__module__]
sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

with atheris.instrument_imports(include=["pyollama"]):
    from tests.fuzz.targets import TARGETS, Target

SECONDS = 1.0
MEMORY = 64 << 20
FINDINGS = Path(__file__).parent / "findings"


def limited(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """``run`` with an end to what one input may take."""
    statm = os.open("/proc/self/statm", os.O_RDONLY)
    page = resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)

    def one(data: bytes) -> None:
        mapped = int(os.pread(statm, 40, 0).split()[0]) * page
        resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, hard))
        begin = time.process_time()
        try:
            run(data)
        finally:
            took = time.process_time() - begin
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        if took > SECONDS:
            raise TimeoutError(f"{took:.2f} s of processor time")

    return one


def prepare(name: str, target: Target, folder: Path) -> list[str]:
    """Seeds, earlier findings and the dictionary on disk; the options that name them."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in (*target.seeds, *(path.read_bytes() for path in FINDINGS.glob(f"{name}/*"))):
        (corpus / sha1(seed).hexdigest()).write_bytes(seed)
    words = folder / "words"
    quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
    words.write_text("".join(f'"{word}"\n' for word in quoted))
    return [str(corpus), f"-dict={words}", f"-artifact_prefix={folder}/"]


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    target = TARGETS[name]
    options = [f"-max_len={target.longest}", "-timeout=60", "-rss_limit_mb=1024"]
    prepared = prepare(name, target, folder)
    atheris.Setup([sys.argv[0], *prepared, *options, *sys.argv[3:]], limited(target.run))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
