"""``python -m bench.parity``: does greedy output equal llama-server's, token for token?

Our server is asked each prompt alone and together with seven others, llama-server of the same
llama.cpp is asked alone. A batch is summed in another order than a single row, so where the two
likeliest tokens are as good as equal either may come out: such ties are named and not counted as
differences. The exit status is 1 if any other answer differs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

import httpx

from bench import servers, synth
from pyollama import builtin

_N_TOKENS = 64
_TIE = 0.001
"""Difference of log-probabilities below which the rounding of a batch may decide."""

_PROMPTS = (
    "Once upon a time",
    "The capital of France is",
    "One, two, three,",
    "My favourite colour",
    "Yesterday it rained, and so",
    "def add(a, b):",
    "In the beginning",
    "Why did the chicken",
)


async def _ours(http: httpx.AsyncClient, model: str, prompt: str) -> str:
    body = {
        "model": model,
        "prompt": prompt,
        "raw": True,
        "stream": False,
        "options": {"temperature": 0, "num_predict": _N_TOKENS, "stop": []},
    }
    response = await http.post("/api/generate", json=body)
    return str(response.raise_for_status().json()["response"])


async def _theirs(http: httpx.AsyncClient, _: str, prompt: str) -> str:
    body = {"prompt": prompt, "temperature": 0, "n_predict": _N_TOKENS, "cache_prompt": False}
    response = await http.post("/completion", json=body)
    return str(response.raise_for_status().json()["content"])


async def _ask(server: servers.Server) -> tuple[list[str], list[str]]:
    """The answers to all prompts one after the other, and to all at once."""
    ask = _theirs if server.name == "llama-server" else _ours
    async with httpx.AsyncClient(base_url=server.base_url, timeout=300) as http:
        alone = [await ask(http, "bench", prompt) for prompt in _PROMPTS]
        together = await asyncio.gather(*(ask(http, "bench", prompt) for prompt in _PROMPTS))
    return alone, list(together)


async def _margin(server: servers.Server, text: str) -> float:
    """How much likelier, as a logarithm, the best next token is than the second."""
    body = {"prompt": text, "temperature": 0, "n_predict": 1, "n_probs": 2}
    async with httpx.AsyncClient(base_url=server.base_url, timeout=300) as http:
        answer = (await http.post("/completion", json=body)).raise_for_status().json()
    first, second = answer["completion_probabilities"][0]["top_logprobs"][:2]
    return float(first["logprob"] - second["logprob"])


def _compare(model: Path) -> Iterable[tuple[str, bool]]:
    """Every answer that differs, described, and whether a tie explains it."""
    served = servers.Wanted(model, threads=2, parallel=8)
    with servers.pyollama(served) as ours:
        alone, together = asyncio.run(_ask(ours))
    with servers.llama_server(served) as theirs:
        expected, _ = asyncio.run(_ask(theirs))
        for prompt, one, batched, wanted in zip(_PROMPTS, alone, together, expected, strict=True):
            for how, answer in (("alone", one), ("batch of 8", batched)):
                if answer == wanted:
                    continue
                same = _common_length(answer, wanted)
                margin = asyncio.run(_margin(theirs, prompt + wanted[:same]))
                text = f"{model.name}, {prompt!r}, {how}, behind {same} characters"
                yield f"{text}: margin {margin:.4f}", margin < _TIE


def _common_length(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def main() -> None:
    models = [builtin.FOLDER / "model.gguf", synth.model("tiny-qwen2")]
    found = [difference for model in models for difference in _compare(model)]
    for text, tied in found:
        sys.stdout.write(f"{text} ({'tie' if tied else 'DIFFERENT'})\n")
    asked = len(models) * len(_PROMPTS) * 2
    sys.stdout.write(f"{asked - len(found)} of {asked} answers equal\n")
    sys.exit(not all(tied for _, tied in found))


if __name__ == "__main__":
    main()
