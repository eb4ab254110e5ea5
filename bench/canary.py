"""Many requests in random mixes: does anything of one show in another, is anything left behind?

A model that answers a cue word by word (``canary_model``) makes every answer known beforehand, with
margins that no batch can change. Requests are cancelled, stopped, cut, refused and go on from
earlier answers, share prefixes, and many run at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import tempfile
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench import canary_model, servers
from bench.canary_model import N_SCRIPTS, N_STEPS, answer, cue, step
from bench.http import Http, HttpError
from bench.options import add_common, environment
from bench.processes import family
from bench.report import Figure, figure, note, publish
from bench.servers import MODEL, Server, Wanted

JSON = dict[str, Any]
_SHOWN = 3
_SHOWN_LENGTH = 300
"""So many of each kind of mistake are shown, and so many characters of each."""

_SPARE = {"files": 4, "threads": 8, "processes": 0}
"""By how much each may grow: pools take what they need when it is first needed."""

_SETTLE_SECONDS = 30
_LOOK_SECONDS = 0.3
_IMPATIENCE = 0.01
"""Seconds after which a client goes away that does not wait for the first token."""

_FILLERS = tuple(
    "".join(random.Random(n).choices("abcdefgh .,\n", k=40 << (n % 4))) for n in range(10)
)
_REFUSED: tuple[tuple[JSON, int], ...] = (
    ({"options": "many"}, 400),
    ({"model": "nobody"}, 404),
    ({"prompt": 5}, 400),
    ({"images": ["no base64"]}, 400),
)


@dataclass(frozen=True, slots=True)
class Canary:
    """A request and what has to come of it.

    ``expected`` is the text, ``n_tokens`` how many tokens of answer the server should count.
    ``hang_up`` is after how many pieces the client goes away (``None``: it stays), ``status`` what
    a refused request is answered with.
    """

    body: JSON
    expected: str = ""
    n_prompt: int = 0
    n_tokens: int = 0
    reason: str = "stop"
    hang_up: int | None = None
    status: int = 200


@dataclass(slots=True)
class Seen:
    """What went wrong, and how much there was to go wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    def check(self, what: str, right: bool, about: object) -> None:
        if not right:
            self.wrong[what] += 1
            if self.wrong[what] <= _SHOWN:
                note(f"{what}: {str(about)[:_SHOWN_LENGTH]}")


def add_options(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=16, help="requests under way at a time")
    parser.add_argument("--seed", type=int, default=0, help="another mix")


def run(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="pyollama-bench-") as folder:
        model = Path(folder) / "canary.gguf"
        canary_model.write(model)
        asked = Wanted(model, 1, options.parallel, n_ctx=2048, environment=environment(options))
        with servers.pyollama(asked) as server:
            return publish(asyncio.run(_measure(server, options)), options)


async def _measure(server: Server, options: argparse.Namespace) -> list[Figure]:
    seen = Seen()
    rng = random.Random(options.seed)
    await _send(server, [_whole(rng) for _ in range(2 * options.at_once)], seen, options.at_once)
    if seen.wrong:
        raise SystemExit("bench: not even whole answers are right: nothing else can be told")
    before = await _rest(server)
    seen = Seen()
    await _send(server, [draw(rng) for _ in range(options.requests)], seen, options.at_once)
    after = await _rest(server)
    for what, spare in _SPARE.items():
        seen.check(f"{what} left behind", after[what] <= before[what] + spare, (before, after))
    figures = [figure(what, [n], "requests") for what, n in sorted(seen.counts.items())]
    figures += [figure(what, [seen.wrong[what]], at_most=0) for what in _WRONG]
    return [*figures, figure("growth of memory", [after["MiB"] - before["MiB"]], "MiB")]


_WRONG = (
    "foreign or wrong text",
    "wrong count of tokens",
    "no end",
    "wrong status",
    "files left behind",
    "threads left behind",
    "processes left behind",
)


# --- what is asked --------------------------------------------------------------------------------


def draw(rng: random.Random) -> Canary:
    """One request of the mix."""
    kinds = (_whole, _limited, _stopped, _continued, _cancelled, _refused)
    (kind,) = rng.choices(kinds, weights=(30, 15, 15, 15, 15, 10))
    return kind(rng)


def _request(rng: random.Random, script: int, said: str = "", **options: Any) -> tuple[JSON, int]:
    """A body, and how many tokens its prompt has: one a letter, one for the cue and each step."""
    before, behind = rng.choice(_FILLERS), rng.choice((*_FILLERS, ""))
    if said:
        behind = ""
    body = {
        "model": MODEL,
        "prompt": before + cue(script) + behind + said,
        "raw": True,
        "stream": rng.random() < 0.8,
        "options": {"temperature": rng.choice((0.0, 0.8, 1.0)), **options},
    }
    return body, len(before) + 1 + len(behind) + said.count("<")


def _whole(rng: random.Random) -> Canary:
    script = rng.randrange(N_SCRIPTS)
    body, n_prompt = _request(rng, script)
    return Canary(body, answer(script), n_prompt, N_STEPS + 1)  # the end of text counts


def _limited(rng: random.Random) -> Canary:
    script, n = rng.randrange(N_SCRIPTS), rng.randint(1, N_STEPS)
    body, n_prompt = _request(rng, script, num_predict=n)
    return Canary(body, answer(script, n), n_prompt, n, "length")


def _stopped(rng: random.Random) -> Canary:
    script, n = rng.randrange(N_SCRIPTS), rng.randrange(N_STEPS)
    body, n_prompt = _request(rng, script, stop=[step(script, n)])
    return Canary(body, answer(script, n), n_prompt, n + 1)  # and so does a stop text


def _continued(rng: random.Random) -> Canary:
    """Goes on from the first tokens of an answer, as a second turn would."""
    script, n = rng.randrange(N_SCRIPTS), rng.randint(1, N_STEPS - 1)
    said = answer(script, n)
    body, n_prompt = _request(rng, script, said)
    return Canary(body, answer(script).removeprefix(said), n_prompt, N_STEPS + 1 - n)


def _cancelled(rng: random.Random) -> Canary:
    script = rng.randrange(N_SCRIPTS)
    body, n_prompt = _request(rng, script)
    pieces = rng.randrange(N_STEPS)
    return Canary(body | {"stream": True}, answer(script), n_prompt, hang_up=pieces)


def _refused(rng: random.Random) -> Canary:
    change, status = rng.choice(_REFUSED)
    body, _ = _request(rng, rng.randrange(N_SCRIPTS))
    return Canary(body | change, status=status)


# --- what comes back ------------------------------------------------------------------------------


async def _send(server: Server, canaries: list[Canary], seen: Seen, at_once: int) -> None:
    """All requests, ``at_once`` of them under way as long as there are so many."""
    left = iter(canaries)

    async def work() -> None:
        http = Http(server.base_url)
        for canary in left:
            try:
                await _ask(http, canary, seen)
            except HttpError as error:
                seen.counts["refused"] += 1
                right = error.status == canary.status
                seen.check("wrong status", right, f"{error}, not {canary.status}")
        await http.close()

    await asyncio.gather(*(work() for _ in range(at_once)))


async def _ask(http: Http, canary: Canary, seen: Seen) -> None:
    text, last, n = "", JSON(), 0
    async with aclosing(http.lines("/api/generate", canary.body)) as lines:
        if canary.hang_up == 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IMPATIENCE):
                    await anext(lines)
        else:
            async for line in lines:
                last, n = msgspec.json.decode(line), n + 1
                text += last.get("response", "")
                if n == canary.hang_up:
                    break
    check(canary, text, last, seen)


def check(canary: Canary, text: str, last: JSON, seen: Seen) -> None:
    """Hold an answer, whose last object is ``last``, against what it should be."""
    prompt = canary.body["prompt"]
    if canary.hang_up is not None and not last.get("done"):
        seen.counts["cancelled"] += 1
        seen.check("foreign or wrong text", canary.expected.startswith(text), (prompt, text))
        return
    seen.counts["answered"] += 1
    seen.check("wrong status", canary.status == 200, f"200, not {canary.status}")
    seen.check("no end", bool(last.get("done")), last)
    seen.check("foreign or wrong text", text == canary.expected, (prompt, text))
    if canary.hang_up is None:
        counted = last.get("prompt_eval_count"), last.get("eval_count"), last.get("done_reason")
        right = counted == (canary.n_prompt, canary.n_tokens, canary.reason)
        seen.check("wrong count of tokens", right, (counted, canary))


async def _rest(server: Server) -> Counter[str]:
    """Open files, threads, processes and memory, once the connections of clients are gone."""
    least: Counter[str] = Counter()
    for _ in range(int(_SETTLE_SECONDS / _LOOK_SECONDS)):
        await asyncio.sleep(_LOOK_SECONDS)
        members = family(server.pid)
        now = Counter(
            files=sum(use.files for use in members),
            threads=sum(use.threads for use in members),
            processes=len(members),
            MiB=sum(use.resident for use in members) >> 20,
        )
        if least and now["files"] >= least["files"]:
            break
        least = now
    return least
