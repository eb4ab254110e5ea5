"""Making models on a real server, and looking at what they compute."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from tests.e2e.checkpoints import Array
from tests.e2e.running import Server
from tests.native import steps

from pyollama._native import Context, Model

TOKENS = [5, 17, 260, 99, 257, 3]
NO_LIMIT = 600.0


def upload(server: Server, path: Path) -> str:
    data = path.read_bytes()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    httpx.post(f"{server.url}/api/blobs/{digest}", content=data).raise_for_status()
    return digest


def uploaded(server: Server, folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): upload(server, path) for path in files}


def create(server: Server, **body: Any) -> list[dict[str, Any]]:
    with httpx.stream("POST", f"{server.url}/api/create", json=body, timeout=NO_LIMIT) as answer:
        return [json.loads(line) for line in answer.iter_lines()]


def made(server: Server, model: str, **body: Any) -> list[str]:
    """The statuses of a success, each once, without digests."""
    frames = create(server, model=model, **body)
    assert frames[-1] == {"status": "success"}, frames
    return list(dict.fromkeys(frame["status"].partition(" sha256:")[0] for frame in frames))


def shown(server: Server, model: str) -> dict[str, Any]:
    answer = httpx.post(f"{server.url}/api/show", json={"model": model}).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def weights_of(server: Server, model: str, instruction: str = "FROM") -> Path:
    found = re.search(rf"^{instruction} (/.*)$", shown(server, model)["modelfile"], re.MULTILINE)
    assert found
    return Path(found[1])


def logits_of(path: Path) -> Array:
    return steps.last_logits(Context(Model(path), n_ctx=64), TOKENS)


def difference(found: Array, expected: Array) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def blobs(server: Server) -> set[str]:
    return {path.name for path in (server.home / ".ollama" / "models" / "blobs").iterdir()}


def converters(server: Server) -> list[psutil.Process]:
    """The processes that convert or quantise just now."""
    return [child for child in server.workers() if _converts(child)]


def _converts(process: psutil.Process) -> bool:
    try:
        return "pyollama.convert" in process.cmdline()
    except psutil.NoSuchProcess:  # it has ended, and may not be collected yet
        return False
