"""``pyollama run``"""

from __future__ import annotations

import json
import sys
from http import HTTPStatus
from typing import Any

import click

from pyollama.cli.answer import Look, Spinner, show_answer, statistics
from pyollama.cli.arguments import THINK_LEVELS, at_least, check_duration
from pyollama.cli.completion import stored_models
from pyollama.cli.connection import connect_or_start
from pyollama.cli.main import Command
from pyollama.cli.media import take_media
from pyollama.cli.paths import model_named
from pyollama.cli.progress import ProgressDisplay
from pyollama.client import Client
from pyollama.errors import ApiError

JSON = dict[str, Any]
_BARE = {"--think": "true", "--truncate": "true"}
_VARIABLES = """Environment Variables:
  OLLAMA_EDITOR     Editor for Ctrl-G in a conversation
  OLLAMA_HOST       Address of the server (default 127.0.0.1:11434)
  OLLAMA_NOHISTORY  Keep nothing of what is typed
"""


@click.command("run", cls=Command, usage="MODEL [PROMPT]", bare=_BARE, epilog=_VARIABLES)
@click.argument("arguments", nargs=-1, shell_complete=stored_models)
@click.option("--dimensions", type=int, help="Cut embeddings to this length")
@click.option("--format", "form", help='Form of the answer: "json" or a JSON schema')
@click.option("--hidethinking", is_flag=True, help="Do not show thinking")
@click.option("--insecure", is_flag=True, help="Use an insecure registry")
@click.option("--keepalive", help="How long the model stays in memory (for example 5m)")
@click.option("--nowordwrap", is_flag=True, help="Do not wrap words to the next line")
@click.option("--think", help="Think first: true, false, high, medium, low or max")
@click.option("--truncate", type=bool, help="Cut embedding input that is too long (default true)")
@click.option("--verbose", is_flag=True, help="Show timings of the answer")
def command(
    arguments: tuple[str, ...],
    dimensions: int | None,
    form: str | None,
    hidethinking: bool,
    insecure: bool,
    keepalive: str | None,
    nowordwrap: bool,
    think: str | None,
    truncate: bool | None,
    verbose: bool,
) -> None:
    """Run a model

    Text on standard input comes before the prompt. Without either, a conversation begins. A model
    that is not there is pulled first.
    """
    model, *words = at_least(1, arguments)
    look = Look(hide_thinking=hidethinking, word_wrap=not nowordwrap, verbose=verbose)
    body: JSON = {}
    if keepalive is not None:
        body["keep_alive"] = check_duration(keepalive)
    if form is not None:
        body["format"] = _parse_format(form)
    chosen_think = None if think is None else _parse_think(think)
    prompt = _prompt(words)
    interactive = prompt is None and sys.stdin.isatty() and sys.stdout.isatty()

    with connect_or_start() as client:
        body["model"] = model_named(model, client)
        shown = _shown(client, body["model"], insecure)
        capabilities = shown.get("capabilities", [])
        if "embedding" in capabilities:
            _embed(client, body, prompt, dimensions, truncate)
            return
        if chosen_think is None and "thinking" in capabilities:
            chosen_think = True
        if chosen_think is not None:
            body["think"] = chosen_think
        if interactive:
            from pyollama.cli.conversation.loop import converse
            from pyollama.cli.conversation.session import Session

            converse(Session(client, body, look, shown, think_chosen=think is not None))
            return
        prompt = prompt or ""
        if {"vision", "audio"} & set(capabilities):
            prompt, images = take_media(prompt)
            body |= {"images": images} if images else {}
        _generate(client, body | {"prompt": prompt}, look)


def _shown(client: Client, model: str, insecure: bool) -> JSON:
    """What the server says about the model, once it has it."""
    try:
        with Spinner():
            return client.show(model)
    except ApiError as error:
        if error.details.get("status") != HTTPStatus.NOT_FOUND:
            raise
    with ProgressDisplay() as display:
        for progress in client.pull(model, insecure=insecure):
            display.show(progress)
    return client.show(model)


def _prompt(words: list[str]) -> str | None:
    """Standard input, then the arguments; ``None`` if there is neither."""
    piped = "" if sys.stdin.isatty() else sys.stdin.read()
    parts = [piped, *words] if piped else words
    return " ".join(parts) if parts else None


def _parse_think(value: str) -> bool | str:
    if value in THINK_LEVELS:
        return value
    if value in ("true", "false"):
        return value == "true"
    raise click.UsageError(
        f'invalid value for --think: "{value}" (must be true, false, high, medium, low, or max)'
    )


def _parse_format(value: str) -> object:
    if value == "json":
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise click.UsageError(f'--format must be "json" or a JSON schema: {error}') from error


def _generate(client: Client, body: JSON, look: Look) -> None:
    answer = show_answer(client.generate(body), look)
    if body["prompt"] or body.get("images"):
        click.echo("\n")
    if look.verbose:
        click.echo(statistics(answer.last), nl=False, err=True)


def _embed(
    client: Client, body: JSON, prompt: str | None, dimensions: int | None, truncate: bool | None
) -> None:
    if not prompt:
        raise click.UsageError(
            "embedding models require input text."
            f' Usage: pyollama run {body["model"]} "your text here"'
        )
    request: JSON = {key: body[key] for key in ("model", "keep_alive") if key in body}
    request["input"] = prompt
    if dimensions is not None:
        request["dimensions"] = dimensions
    if truncate is not None:
        request["truncate"] = truncate
    click.echo(json.dumps(client.embed(request)["embeddings"][0]))
