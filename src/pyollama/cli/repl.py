"""The conversation that ``pyollama run MODEL`` holds on a terminal."""

from __future__ import annotations

from typing import Any

import click

from pyollama.cli.answer import Look, Spinner, show_answer, statistics
from pyollama.client import Client
from pyollama.errors import ApiError

JSON = dict[str, Any]
_FENCE = '"""'
_HELP = f"""Available Commands:
  /clear    Forget the conversation so far
  /bye      Leave
  /?        This help

Use {_FENCE} to begin and to end a message of several lines.
Ctrl-C stops an answer, Ctrl-D leaves."""


def converse(client: Client, body: JSON, look: Look, examples: list[JSON]) -> None:
    """Read messages and answer them until the user leaves.

    ``body`` holds what every request has in common; ``examples`` are the messages that belong to
    the model, which the server puts in front of ours by itself.
    """
    with Spinner():
        for _ in client.generate(body | {"prompt": ""}):
            pass
    for message in examples:
        prefix = ">>> " if message["role"] == "user" else ""
        click.echo(f"{prefix}{message['content']}\n")
    history: list[JSON] = []
    while (text := _read()) is not None:
        match text:
            case "":
                continue
            case "/bye" | "/exit":
                return
            case "/clear":
                history.clear()
                click.echo("Cleared session context")
            case "/?" | "/help":
                click.echo(_HELP, err=True)
            case _ if text.startswith("/"):
                click.echo(f"Unknown command '{text.split()[0]}'. Type /? for help")
            case _:
                _answer(client, body, look, history, text)


def _answer(client: Client, body: JSON, look: Look, history: list[JSON], text: str) -> None:
    question = {"role": "user", "content": text}
    request = body | {"messages": [*history, question]}
    try:
        answer = show_answer(client.chat(request), look)
    except KeyboardInterrupt:
        # An answer that was cut off is no good example for the next one: forget the turn.
        click.echo("\n")
        return
    except ApiError as error:
        click.echo(f"error: {error.message}\n", err=True)
        return
    click.echo("\n")
    if look.verbose:
        click.echo(statistics(answer.last), err=True)
    reply = {"role": "assistant", "content": answer.content}
    if answer.thinking:
        reply["thinking"] = answer.thinking
    history += [question, reply]


def _read() -> str | None:
    """One message, ``None`` at the end of input."""
    try:
        text = input(">>> ").strip()
        if not text.startswith(_FENCE):
            return text
        text = text.removeprefix(_FENCE)
        while not text.endswith(_FENCE):
            text += "\n" + input("... ")
        return text.removesuffix(_FENCE)
    except EOFError:
        click.echo()
        return None
    except KeyboardInterrupt:
        click.echo("\nUse Ctrl + d or /bye to exit.")
        return ""
