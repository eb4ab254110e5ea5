"""Conversations over one long prefix: how much is computed again, and what survives an unload.

First on the engine in this process, where every request says how many tokens came from the cache;
then through the server, which is made to unload the model and is started anew in between.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from bench import servers
from bench.dialects import Dialect
from bench.inprocess import InProcess, loaded
from bench.options import add_common, wanted
from bench.report import Figure, figure, publish
from bench.servers import Server, Wanted
from bench.workloads import words
from pyollama.types import Tokens, Usage

_COMMAND = [sys.executable, "-m", "pyollama", "serve"]


@dataclass(slots=True)
class Talk:
    """One conversation on token ids; ``known`` are those that the engine has seen or said."""

    tokens: list[int]
    known: int = 0


@dataclass(slots=True)
class Turn:
    """What all conversations together cost in one turn, in tokens."""

    new: int = 0
    computed: int = 0
    first_token: list[float] = field(default_factory=list)


def add_options(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument("--prefix", type=int, default=1024, help="tokens that all begin with")
    parser.add_argument("--conversations", type=int, default=8)
    parser.add_argument("--at-once", type=int, default=8, help="how many ask at the same time")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--own", type=int, default=40, help="tokens that each turn adds")
    parser.add_argument("--answer", type=int, default=16, help="tokens of each answer")


def run(options: argparse.Namespace) -> int:
    each = options.prefix + options.turns * (options.own + options.answer)
    asked = wanted(options, n_ctx=each + 64)
    with loaded(asked) as engine:
        turns = asyncio.run(_converse(engine, options))
    return publish([*_recomputed(turns, options), *_survival(asked, options)], options)


# --- in this process ------------------------------------------------------------------------------


def _recomputed(turns: list[Turn], options: argparse.Namespace) -> list[Figure]:
    first, *later = turns
    once = options.prefix + options.conversations * options.own
    ratios = [turn.computed / turn.new for turn in later]
    return [
        figure("turn 1, computed ÷ needed once", [first.computed / once]),
        figure("later turns, computed ÷ new", ratios, at_most=1.05),
        figure("turn 1, first token", [1000 * t for t in first.first_token], "ms"),
        figure("later turns, first token", [1000 * t for u in later for t in u.first_token], "ms"),
    ]


async def _converse(engine: InProcess, options: argparse.Namespace) -> list[Turn]:
    """All turns of all conversations; a turn begins when all have the answer of the one before."""
    rng = random.Random(options.prefix)
    prefix = engine.tokens(words(rng, options.prefix))
    talks = [Talk(list(prefix)) for _ in range(options.conversations)]
    at_once = asyncio.Semaphore(options.at_once)
    turns = []
    for _ in range(options.turns):
        turn = Turn()
        for talk in talks:
            talk.tokens += engine.tokens(words(rng, options.own))
        await asyncio.gather(*(_ask(engine, talk, turn, options.answer, at_once) for talk in talks))
        turns.append(turn)
    return turns


async def _ask(
    engine: InProcess, talk: Talk, turn: Turn, n_answer: int, at_once: asyncio.Semaphore
) -> None:
    async with at_once:
        begin, answer = time.perf_counter(), list[int]()
        async with aclosing(engine.go_on(talk.tokens, n_answer)) as events:
            async for event in events:
                match event:
                    case Tokens():
                        if not answer:
                            turn.first_token.append(time.perf_counter() - begin)
                        answer += event.tokens
                    case Usage():
                        turn.computed += event.prompt_tokens - event.cached_tokens
        turn.new += len(talk.tokens) - talk.known
        talk.tokens += answer
        talk.known = len(talk.tokens)


# --- through the server ---------------------------------------------------------------------------


def _survival(asked: Wanted, options: argparse.Namespace) -> list[Figure]:
    times: dict[str, list[float]] = {}
    for number in range(options.rounds):
        for what, seconds in _one_life(asked, number, options).items():
            times.setdefault(what, []).append(1000 * seconds)
    cold = times["cold"]
    figures = [figure(f"first token, {what}", found, "ms") for what, found in times.items()]
    for what in ("after an unload", "after a restart"):
        shares = [a / b for a, b in zip(times[what], cold, strict=True)]
        figures.append(figure(f"first token, {what} ÷ cold", shares, at_most=0.15))
    return figures


def _one_life(asked: Wanted, number: int, options: argparse.Namespace) -> dict[str, float]:
    """Seconds to the first token of one conversation's turns; loading counts wherever it occurs."""
    rng = random.Random(f"life {number}")
    times = {}
    said = words(rng, options.prefix)
    with tempfile.TemporaryDirectory(prefix="pyollama-bench-") as folder:
        store = Path(folder)
        asked = _with_disk(asked, store / "prefixes")
        with servers.ollama_on("pyollama", _COMMAND, asked, store) as server:
            servers.upload(server.base_url, asked)
            times["cold"], said = _turn(server, said + words(rng, options.own), options)
            times["the next turn"], said = _turn(server, said + words(rng, options.own), options)
            with httpx.Client(base_url=server.base_url, timeout=60) as http:
                servers.unload(http)
            times["after an unload"], said = _turn(server, said + words(rng, options.own), options)
        with servers.ollama_on("pyollama", _COMMAND, asked, store) as server:
            times["after a restart"], _ = _turn(server, said + words(rng, options.own), options)
    return times


def _with_disk(asked: Wanted, folder: Path) -> Wanted:
    """Prefixes survive a restart on disk, which is off unless it is asked for."""
    disk = {"PYOLLAMA_PREFIX_DISK": "8GB", "PYOLLAMA_PREFIX_DIR": str(folder)}
    return replace(asked, environment={**disk, **asked.environment})


def _turn(server: Server, said: str, options: argparse.Namespace) -> tuple[float, str]:
    """Seconds to the first token, and the conversation with the answer."""
    return asyncio.run(_first_token(server.connect(), said, options.answer))


async def _first_token(dialect: Dialect, said: str, n_answer: int) -> tuple[float, str]:
    begin, first = time.perf_counter(), 0.0
    async with aclosing(dialect.complete(said, n_answer)) as pieces:
        async for piece in pieces:
            first = first or time.perf_counter() - begin
            said += piece.text
    await dialect.close()
    return first, said
