"""The limit that llama.cpp itself sets: llama-bench and llama-batched-bench, no server."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

from bench import peers
from bench.workloads import Clients, Shape, Texts

JSON = dict[str, Any]
Figures = dict[str, float]


def limit(shape: Shape, model: Path, threads: int) -> Figures | None:
    """The figures that bound a workload: ``rate`` as a client would see it, ``prefill`` and
    ``decode`` in tokens per second. ``None`` where no tool measures that workload.
    """
    match shape:
        case Texts():
            return embedding(shape, model, threads)
        case Clients(n=1, turns=(n_prompt,), shared=0):
            return single(model, threads, n_prompt, shape.max_tokens)
        case Clients(turns=(own,), shared=shared):
            return batched(model, threads, shape, shared + own)
    return None


def single(model: Path, threads: int, n_prompt: int, n_output: int) -> Figures:
    """One request by itself."""
    rows = llama_bench(model, threads, n_prompt, n_output)
    prefill = next(row["avg_ts"] for row in rows if row["n_prompt"])
    decode = next(row["avg_ts"] for row in rows if row["n_gen"])
    return {
        "prefill": prefill,
        "decode": decode,
        "rate": n_output / (n_prompt / prefill + n_output / decode),
    }


def batched(model: Path, threads: int, shape: Clients, n_prompt: int) -> Figures:
    """Requests in one batch; a prompt that they share in part counts as computed once."""
    n_each = n_prompt + shape.max_tokens
    n_ctx = n_each * shape.n if not shape.shared else n_prompt + shape.n * shape.max_tokens
    n_ctx = 256 * math.ceil(n_ctx / 256)
    text = _run(
        "llama-batched-bench",
        ["-m", str(model), "-t", str(threads), "-c", str(n_ctx), "-b", "2048", "-ub", "512"],
        ["-npp", str(n_prompt), "-ntg", str(shape.max_tokens), "-npl", str(shape.n)],
        ["-kvu", "--output-format", "jsonl", *(["-pps"] if shape.shared else [])],
    )
    row = next(json.loads(line) for line in text.splitlines() if line.startswith("{"))
    return {
        "prefill": row["speed_pp"],
        "decode": row["speed_tg"],
        "rate": shape.n * shape.max_tokens / row["t"],
    }


def embedding(shape: Texts, model: Path, threads: int) -> Figures:
    """Texts per second, if the tokens of all texts came in full batches.

    A text of so many words is that many tokens and two special ones.
    """
    (row,) = llama_bench(model, threads, 512, 0, "-embd", "1")
    tokens = (shape.shortest + shape.longest) / 2 + 2
    return {"prefill": row["avg_ts"], "rate": row["avg_ts"] / tokens}


def llama_bench(model: Path, threads: int, n_prompt: int, n_output: int, *flags: str) -> list[JSON]:
    """Rows of llama-bench: one for the prompt, one for the output, if there are any."""
    sizes = ["-p", str(n_prompt), "-n", str(n_output)]
    text = _run(
        "llama-bench",
        ["-m", str(model), "-t", str(threads), *sizes, "-r", "2", "-o", "json", *flags],
    )
    rows: list[JSON] = json.loads(text)
    return rows


def _run(program: str, *arguments: list[str]) -> str:
    command = [str(peers.program(program)), *(word for part in arguments for word in part)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program} failed: {done.stderr[-1000:]}")
    return done.stdout
