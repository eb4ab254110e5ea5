"""What a conversation knows: the model, its settings, and what was said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import click

from pyollama.cli.answer import Look, Spinner, show_answer, statistics
from pyollama.client import Client

JSON = dict[str, Any]


@dataclass(slots=True)
class Session:
    """``body`` holds what all requests have in common: model, keep_alive, format, think.

    ``examples`` are the messages that belong to the model; the server puts them in front of ours
    by itself. ``think_chosen`` says that the user decided about thinking, not the model.
    """

    client: Client
    body: JSON
    look: Look
    shown: JSON
    think_chosen: bool
    system: str = ""
    parameters: JSON = field(default_factory=dict)
    messages: list[JSON] = field(default_factory=list)

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def examples(self) -> list[JSON]:
        return self.shown.get("messages") or []

    @property
    def can_think(self) -> bool:
        return "thinking" in self.shown.get("capabilities", [])

    def load(self) -> None:
        """Have the model in memory before the first message, and show its examples."""
        with Spinner(), closing(self.client.generate(self.body | {"prompt": ""})) as frames:
            for _ in frames:
                pass
        for message in self.examples:
            prefix = ">>> " if message["role"] == "user" else ""
            click.echo(f"{prefix}{message['content']}\n")

    def change_model(self, model: str, shown: JSON) -> None:
        """Go on with another model, which knows nothing of what was said."""
        before = self.body, self.shown
        self.body, self.shown = self.body | {"model": model}, shown
        if not self.can_think:
            self.body.pop("think", None)
        elif not self.think_chosen:
            self.body["think"] = True
        try:
            self.load()
        except BaseException:
            self.body, self.shown = before
            raise
        self.clear()

    def clear(self) -> None:
        self.messages = [{"role": "system", "content": self.system}] if self.system else []

    def set_system(self, text: str) -> None:
        self.system = text
        if self.messages and self.messages[-1]["role"] == "system":
            self.messages.pop()
        self.messages.append({"role": "system", "content": text})

    def ask(self, text: str, images: list[str]) -> None:
        """Show the answer to a message. Only an answer that ended becomes part of what was said."""
        question: JSON = {"role": "user", "content": text}
        if images:
            question["images"] = images
        request = self.body | {"messages": [*self.messages, question]}
        if self.parameters:
            request["options"] = self.parameters
        with closing(self.client.chat(request)) as frames:
            answer = show_answer(frames, self.look)
        click.echo("\n")
        if self.look.verbose:
            click.echo(statistics(answer.last), err=True)
        reply: JSON = {"role": "assistant", "content": answer.content}
        if answer.thinking:
            reply["thinking"] = answer.thinking
        self.messages += [question, reply]

    def save(self, name: str) -> Iterator[JSON]:
        """Create a model that begins where this conversation is; yields progress."""
        body: JSON = {"model": name, "from": self.model}
        if self.system:
            body["system"] = self.system
        if self.parameters:
            body["parameters"] = self.parameters
        kept = ("role", "content", "images", "thinking")
        said = [m for m in self.messages if m["role"] != "system"]
        if messages := [*self.examples, *said]:
            body["messages"] = [{k: m[k] for k in kept if m.get(k)} for m in messages]
        return self.client.create(body)
