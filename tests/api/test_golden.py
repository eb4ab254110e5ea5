"""Requests and the exact bytes of their answers, but for times, durations and digests.

``PYOLLAMA_RECORD=1 pytest tests/api`` writes the answers anew; look at the difference before
committing it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from tests.api.world import make_world
from tests.unit.server.asgi import Exchange

GOLDEN = Path(__file__).parent / "golden" / "ollama.json"
CASES: list[dict[str, Any]] = json.loads(GOLDEN.read_text())

_CHANGING = (
    (re.compile(r'"(created_at|modified_at|expires_at)":"[^"]+"'), r'"\1":"<time>"'),
    (re.compile(r'"(\w+_duration)":\d+'), r'"\1":"<ns>"'),
    (re.compile(r"/[^\s\"]*/blobs/"), "<store>/blobs/"),
    (re.compile(r"call_[a-z0-9]{8}"), "call_<id>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<sha256>"),
)


async def ask(app: Any, request: dict[str, Any]) -> dict[str, Any]:
    body = request.get("body", b"")
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body else b""
    headers = {"host": "localhost", **request.get("headers", {})}
    exchange = Exchange(request.get("method", "POST"), request["path"], headers, raw)
    await exchange.run(app)
    text = exchange.content.decode()
    for pattern, name in _CHANGING:
        text = pattern.sub(name, text)
    return {
        "status": exchange.status,
        "type": exchange.header("content-type"),
        "lines": text.split("\n"),
    }


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_golden(case: dict[str, Any], tmp_path: Path) -> None:
    world = make_world(tmp_path)
    try:
        for request in case.get("before", ()):
            assert (await ask(world.app, request))["status"] < 300
        answer = await ask(world.app, case["request"])
    finally:
        await world.pool.close()
    if os.environ.get("PYOLLAMA_RECORD"):
        case["answer"] = answer
        GOLDEN.write_text(json.dumps(CASES, indent=1, ensure_ascii=False) + "\n")
    assert answer == case["answer"]
