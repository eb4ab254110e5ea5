"""The programs that pyollama is compared with: where they are, and what they were built from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "build" / "peers"
PYTHON_PEER = ROOT / "build" / "llama-cpp-python"
_BUILD_OPTIONS = (
    "CMAKE_BUILD_TYPE",
    "CMAKE_CXX_COMPILER",
    "CMAKE_CXX_FLAGS",
    "CMAKE_INTERPROCEDURAL_OPTIMIZATION",
    "GGML_BLAS",
    "GGML_LLAMAFILE",
    "GGML_LTO",
    "GGML_NATIVE",
    "GGML_OPENMP",
)


class PeerMissing(Exception):
    """The peer cannot be measured here; the message says what would help."""


def program(name: str) -> Path:
    """A program of the pinned llama.cpp: built by ``make peers``, or found on the PATH."""
    built = BUILT / "bin" / name
    found = str(built) if built.exists() else shutil.which(name)
    if found is None:
        raise PeerMissing(f"{name} is neither built nor on the PATH: run 'make peers'")
    return Path(found)


def ollama() -> Path:
    found = shutil.which("ollama")
    if found is None:
        raise PeerMissing("ollama is not on the PATH")
    return Path(found)


def llama_cpp_python() -> Path:
    """The interpreter that has llama-cpp-python, in an environment of its own.

    It is installed the first time it is asked for, in the version that the pinned tree was taken
    from and without a llama.cpp: :func:`library_folder` has the same one, built like the others.
    """
    version = pinned_version()
    python = PYTHON_PEER / "bin" / "python"
    stamp = PYTHON_PEER / ".version"
    if not stamp.exists() or stamp.read_text() != version:
        sys.stderr.write(f"bench: installing llama-cpp-python {version}\n")
        _run([sys.executable, "-m", "venv", "--clear", str(PYTHON_PEER)])
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        pip += ["--no-binary", "llama-cpp-python", f"llama-cpp-python[server]=={version}"]
        _run(pip, CMAKE_ARGS="-DLLAMA_BUILD=OFF -DLLAVA_BUILD=OFF")
        stamp.write_text(version)
    return python


def library_folder() -> Path:
    """Where ``make peers`` has put libllama."""
    folder = BUILT / "bin"
    if not any(folder.glob("libllama.*")):
        raise PeerMissing("llama.cpp's library is not built: run 'make peers'")
    return folder


def pinned_version() -> str:
    """Version of llama-cpp-python that the pinned tree comes from."""
    pin = tomllib.loads((ROOT / "vendor" / "llama.cpp" / "pin.toml").read_text())
    return str(pin["source"]["version"])


def pinned_commit() -> str:
    pin = tomllib.loads((ROOT / "vendor" / "llama.cpp" / "pin.toml").read_text())
    return str(pin["source"]["commit"])


def version(command: list[str]) -> str:
    """First line of what ``command`` prints about its version; empty if it does not run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return ""
    lines = (line.strip() for line in (done.stdout + done.stderr).splitlines())
    return next((line for line in lines if "version" in line), "")


def build_options(folder: Path) -> dict[str, str]:
    """What a CMake build folder was configured with, as far as it changes the speed."""
    cache = folder / "CMakeCache.txt"
    if not cache.exists():
        return {}
    pairs = (line.partition("=") for line in cache.read_text().splitlines() if ":" in line)
    found = {key.partition(":")[0]: value for key, _, value in pairs}
    return {name: found[name] for name in _BUILD_OPTIONS if found.get(name)}


def _run(command: list[str], **environment: str) -> None:
    done = subprocess.run(
        command,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PeerMissing(f"{' '.join(command[1:4])} failed: {done.stderr[-500:].strip()}")
