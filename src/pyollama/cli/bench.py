"""``pyollama bench``: how fast a model is on this machine, through the server."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import click

from pyollama.cli.answer import Spinner
from pyollama.cli.connection import connect_or_start
from pyollama.cli.main import Command
from pyollama.client import Client

JSON = dict[str, Any]
_NANOSECONDS = 1e9
_SHORT_WORDS = 16
_TEXT = """
apple bridge candle desert engine forest garden harbour island jacket kitchen ladder market needle
orange pencil quarter river summer ticket umbrella village window yellow zebra
"""
_WORDS = _TEXT.split()


@dataclass(frozen=True, slots=True)
class Answer:
    """One request as its client saw it. Times are seconds on a clock that all requests share.

    ``prompt_rate`` are prompt tokens per second, as the server measured.
    """

    began: float
    first: float
    last: float
    n_prompt: int
    n_tokens: int
    prompt_rate: float

    @property
    def wait(self) -> float:
        return self.first - self.began

    @property
    def rate(self) -> float | None:
        """Tokens per second behind the first one, if there are any."""
        span = self.last - self.first
        return (self.n_tokens - 1) / span if self.n_tokens > 1 and span > 0 else None


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that was measured several times. ``key`` is its name in JSON."""

    key: str
    label: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def to_json(self) -> JSON:
        low, high = min(self.values), max(self.values)
        return {"median": self.median, "low": low, "high": high, "unit": self.unit}


@click.command("bench", cls=Command, usage="[MODEL]")
@click.argument("arguments", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Write the figures as JSON")
@click.option("--prompt", type=click.IntRange(1), default=512, help="Tokens of the long prompt")
@click.option("--rounds", type=click.IntRange(1), default=3, help="How often to measure")
@click.option("--streams", type=click.IntRange(1), default=8, help="Requests at the same time")
@click.option("--tokens", type=click.IntRange(2), default=64, help="Tokens of each answer")
def command(
    arguments: tuple[str, ...], as_json: bool, prompt: int, rounds: int, streams: int, tokens: int
) -> None:
    """Measure how fast a model is

    Without a name, a model that is in memory is taken, else the newest one.
    """
    if len(arguments) > 1:
        raise click.UsageError(f"accepts at most 1 arg(s), received {len(arguments)}")
    with connect_or_start() as client:
        model = arguments[0] if arguments else _some_model(client)
        with Spinner(f"Measuring {model} ..."):
            warm, load = _load(client, model)
            n_words = _words_for(prompt, warm, _context(client, model))
            ask = _Asking(client, model, tokens)
            together = [ask(_SHORT_WORDS, streams) for _ in range(rounds)] if streams > 1 else []
            found = figures(
                [ask(n_words, 1)[0] for _ in range(rounds)],
                [ask(_SHORT_WORDS, 1)[0] for _ in range(rounds)],
                together,
            )
        about = {"model": model, "server": client.base_url, "version": client.version()}
    found.append(Figure("load", "Loading the model", "s", (load,)))
    if as_json:
        click.echo(json.dumps(about | {"figures": {f.key: f.to_json() for f in found}}, indent=2))
    else:
        _show(about, found)


def figures(
    behind_a_prompt: Sequence[Answer], alone: Sequence[Answer], together: Sequence[list[Answer]]
) -> list[Figure]:
    """What the answers of all rounds say; ``together`` has a list for each round."""
    n_prompt = round(statistics.median(answer.n_prompt for answer in behind_a_prompt))
    found = [
        _figure("prompt", f"Prompt of {n_prompt} tokens", "tokens/s", behind_a_prompt, _prompt),
        _figure("prompt_first_token", "  first token", "ms", behind_a_prompt, _wait),
        _figure("stream", "One stream", "tokens/s", alone, _rate),
        _figure("stream_first_token", "  first token", "ms", alone, _wait),
    ]
    if together:
        n = len(together[0])
        everyone = [answer for answers in together for answer in answers]
        sums = tuple(joint_rate(answers) for answers in together)
        found += [
            Figure("streams", f"{n} streams, all together", "tokens/s", sums),
            _figure("streams_each", "  each", "tokens/s", everyone, _rate),
            _figure("streams_first_token", "  first token", "ms", everyone, _wait),
            _figure("streams_tokens", "  tokens of each", "tokens", everyone, _tokens),
        ]
    return [each for each in found if each.values]


def joint_rate(answers: Sequence[Answer]) -> float:
    """Tokens of all answers per second, from the first request to the last token."""
    span = max(answer.last for answer in answers) - min(answer.began for answer in answers)
    return sum(answer.n_tokens for answer in answers) / span


def _figure(
    key: str,
    label: str,
    unit: str,
    answers: Sequence[Answer],
    value: Callable[[Answer], float | None],
) -> Figure:
    values = (value(answer) for answer in answers)
    return Figure(key, label, unit, tuple(v for v in values if v is not None))


def _prompt(answer: Answer) -> float | None:
    return answer.prompt_rate or None


def _rate(answer: Answer) -> float | None:
    return answer.rate


def _tokens(answer: Answer) -> float:
    return answer.n_tokens


def _wait(answer: Answer) -> float:
    return 1000 * answer.wait


# --- asking ---------------------------------------------------------------------------------------


def _some_model(client: Client) -> str:
    for models in (client.running(), client.models()):
        if models:
            return str(models[0]["name"])
    raise click.UsageError("there is no model to measure: create one with 'pyollama create'")


def _load(client: Client, model: str) -> tuple[Answer, float]:
    """A first answer that is not measured, and the seconds that loading took before it."""
    begin = time.perf_counter()
    for _ in client.generate({"model": model}):
        pass
    load = time.perf_counter() - begin
    return _Asking(client, model, 2)(_SHORT_WORDS, 1)[0], load


def _context(client: Client, model: str) -> int:
    names = {model, f"{model}:latest"}
    running = (each for each in client.running() if each["name"] in names)
    return int(next((each["context_length"] for each in running), 2048))


def _words_for(n_tokens: int, sample: Answer, n_ctx: int) -> int:
    """How many words make about ``n_tokens``, but no more than half the context."""
    per_word = max(1.0, sample.n_prompt / _SHORT_WORDS)
    return max(1, int(min(n_tokens, n_ctx / 2) / per_word))


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks for ``n_tokens`` behind random words, which no cache knows."""

    client: Client
    model: str
    n_tokens: int

    def __call__(self, n_words: int, n_requests: int) -> list[Answer]:
        """So many requests at the same time."""
        with ThreadPoolExecutor(n_requests) as threads:
            return list(threads.map(self._ask, [n_words] * n_requests))

    def _ask(self, n_words: int) -> Answer:
        body = {
            "model": self.model,
            "prompt": " ".join(random.choices(_WORDS, k=n_words)),
            "raw": True,
            "options": {"num_predict": self.n_tokens},
        }
        began = time.perf_counter()
        times: list[float] = []
        end: JSON = {}
        for frame in self.client.generate(body):
            times.append(time.perf_counter())
            end = frame
        n_prompt, seconds = end["prompt_eval_count"], end["prompt_eval_duration"] / _NANOSECONDS
        return Answer(began, times[0], times[-1], n_prompt, end["eval_count"], n_prompt / seconds)


# --- showing --------------------------------------------------------------------------------------


def _show(about: JSON, found: Sequence[Figure]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"{about['model']} on {about['server']} (pyollama {about['version']})"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2))
    table.add_column("", no_wrap=True)
    for heading in ("median", "range"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in found:
        low, high = _number(min(each.values)), _number(max(each.values))
        span = "" if low == high else f"{low} .. {high}"
        table.add_row(each.label, f"{_number(each.median)} {each.unit}", span)
    Console(highlight=False).print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
