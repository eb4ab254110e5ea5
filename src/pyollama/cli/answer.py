"""Showing one answer while it streams: spinner, thinking, word wrap, statistics."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import click

from pyollama.cli.wordwrap import WordWrap
from pyollama.durations import format_duration

JSON = dict[str, Any]
_NANOSECONDS = 1e9


@dataclass(slots=True)
class Look:
    """How answers are shown."""

    hide_thinking: bool = False
    word_wrap: bool = True
    verbose: bool = False


class Spinner:
    """Turns on stderr until the first output; nothing where stderr is no terminal."""

    def __init__(self, text: str = "") -> None:
        self._status: AbstractContextManager[object] = nullcontext()
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console

            self._status = Console(stderr=True).status(text)
        self._running = False

    def __enter__(self) -> Self:
        self._status.__enter__()
        self._running = True
        return self

    def stop(self) -> None:
        if self._running:
            self._running = False
            self._status.__exit__(None, None, None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


@dataclass(slots=True)
class Answer:
    """What came of one request: the text, the thinking, and the last frame."""

    content: str = ""
    thinking: str = ""
    tool_calls: list[JSON] = field(default_factory=list)
    last: JSON = field(default_factory=dict)


class Writer:
    """Writes an answer's pieces to stdout."""

    def __init__(self, look: Look) -> None:
        self._look = look
        can_move = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = can_move and not os.environ.get("NO_COLOR")
        self._wrap = WordWrap(_columns()) if look.word_wrap and can_move else None
        self._in_thinking = False
        self._ends_with_newline = True

    def thinking(self, text: str) -> None:
        if self._look.hide_thinking:
            return
        if not self._in_thinking:
            self._in_thinking = True
            self._write(self._styled("Thinking...\n", bold=True))
            text = text.lstrip("\n")
        self._write(self._styled(self._wrapped(text)))
        self._ends_with_newline = text.endswith("\n")

    def content(self, text: str) -> None:
        if text:
            self._end_thinking()
            self._write(self._wrapped(text))

    def tool_call(self, call: JSON) -> None:
        self._end_thinking()
        function = call["function"]
        arguments = json.dumps(function["arguments"], ensure_ascii=False)
        self._write(
            f"  Model called a non-existent function '{function['name']}()'"
            f" with arguments: {arguments}"
        )

    def finish(self) -> None:
        self._end_thinking()

    def _end_thinking(self) -> None:
        if self._in_thinking:
            self._in_thinking = False
            newline = "" if self._ends_with_newline else "\n"
            self._write(newline + self._styled("...done thinking.\n\n", bold=True))
            if self._wrap is not None:
                self._wrap = WordWrap(_columns())

    def _wrapped(self, text: str) -> str:
        if self._wrap is None:
            return text
        self._wrap.resize(_columns())
        return self._wrap.feed(text)

    def _styled(self, text: str, *, bold: bool = False) -> str:
        if not self._colour:
            return text
        return click.style(text, fg="bright_black", bold=bold)

    def _write(self, text: str) -> None:
        click.echo(text, nl=False)


def _columns() -> int:
    """The width of the terminal at this moment."""
    return shutil.get_terminal_size().columns


def show_answer(frames: Iterator[JSON], look: Look) -> Answer:
    """Write the frames of ``/api/generate`` or ``/api/chat`` as they arrive."""
    answer, writer = Answer(), Writer(look)
    with Spinner() as spinner:
        for frame in frames:
            message = frame.get("message", frame)
            content = message.get("content", message.get("response", ""))
            thinking = message.get("thinking", "")
            calls = message.get("tool_calls") or []
            if content or calls or (thinking and not look.hide_thinking):
                spinner.stop()
            if thinking:
                answer.thinking += thinking
                writer.thinking(thinking)
            answer.content += content
            writer.content(content)
            for call in calls:
                answer.tool_calls.append(call)
                writer.tool_call(call)
            answer.last = frame
    writer.finish()
    return answer


def statistics(last: JSON) -> str:
    """The lines of ``--verbose``; what the server did not measure is left out."""
    rows = [
        ("total duration:", _duration(last, "total_duration")),
        ("load duration:", _duration(last, "load_duration")),
        ("prompt eval count:", _tokens(last, "prompt_eval_count")),
        ("prompt eval duration:", _duration(last, "prompt_eval_duration")),
        ("prompt eval rate:", _rate(last, "prompt_eval")),
        ("eval count:", _tokens(last, "eval_count")),
        ("eval duration:", _duration(last, "eval_duration")),
        ("eval rate:", _rate(last, "eval")),
    ]
    return "".join(f"{label:<22}{value}\n" for label, value in rows if value)


def _duration(last: JSON, key: str) -> str:
    return format_duration(last[key]) if last.get(key) else ""


def _tokens(last: JSON, key: str) -> str:
    return f"{last[key]} token(s)" if last.get(key) else ""


def _rate(last: JSON, prefix: str) -> str:
    tokens, duration = last.get(f"{prefix}_count"), last.get(f"{prefix}_duration")
    if not tokens or not duration:
        return ""
    return f"{tokens / duration * _NANOSECONDS:.2f} tokens/s"
