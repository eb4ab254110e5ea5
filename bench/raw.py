"""The limit that llama.cpp itself sets: llama-bench and llama-batched-bench, no server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from bench.servers import peer


def single(model: Path, threads: int, n_prompt: int, n_output: int) -> dict[str, float]:
    """Tokens per second of prefill and decode, and of both together as one request sees them."""
    rows = json.loads(
        _run(
            "llama-bench",
            ["-m", str(model), "-t", str(threads), "-p", str(n_prompt), "-n", str(n_output)],
            ["-r", "2", "-o", "json"],
        )
    )
    prefill = next(row["avg_ts"] for row in rows if row["n_prompt"])
    decode = next(row["avg_ts"] for row in rows if row["n_gen"])
    return {
        "prefill": prefill,
        "decode": decode,
        "rate": n_output / (n_prompt / prefill + n_output / decode),
    }


def batched(
    model: Path, threads: int, n_prompt: int, n_output: int, n_parallel: int, *, shared: bool
) -> dict[str, float]:
    """The same for ``n_parallel`` sequences in one batch; ``shared`` computes the prompt once."""
    text = _run(
        "llama-batched-bench",
        ["-m", str(model), "-t", str(threads), "-c", "16384", "-b", "2048", "-ub", "512"],
        ["-npp", str(n_prompt), "-ntg", str(n_output), "-npl", str(n_parallel)],
        ["-kvu", "--output-format", "jsonl", *(["-pps"] if shared else [])],
    )
    row = next(json.loads(line) for line in text.splitlines() if line.startswith("{"))
    return {
        "prefill": row["speed_pp"],
        "decode": row["speed_tg"],
        "rate": n_parallel * n_output / row["t"],
    }


def limit(workload: str, model: Path, threads: int) -> dict[str, float] | None:
    """The raw figures that bound a workload, where there is a tool that measures them."""
    match workload:
        case "single":
            return single(model, threads, 418, 128)
        case "unique8":
            return batched(model, threads, 210, 64, 8, shared=False)
        case "shared8":
            return batched(model, threads, 1040, 64, 8, shared=True)
    return None


def _run(program: str, *arguments: list[str]) -> str:
    path = peer(program)
    if path is None:
        raise FileNotFoundError(f"{program} is neither built nor on the PATH: run 'make peers'")
    command = [str(path), *(word for part in arguments for word in part)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program} failed: {done.stderr[-1000:]}")
    return done.stdout
