"""The answers of gpt-oss: messages with a channel, and calls with a recipient."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec

from pyollama.chat.callids import new_call_id
from pyollama.chat.holdback import partial_tags
from pyollama.chat.interface import Turn
from pyollama.types import Delta, Message, Tool, ToolCall

START, END, MESSAGE = "<|start|>", "<|end|>", "<|message|>"
PRESERVED = (START, END, MESSAGE, "<|channel|>", "<|constrain|>")
STOPS = ("<|call|>",)
RESUME = "<|end|><|start|>assistant<|channel|>final<|message|>"

_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_ENDS = (END, START, "<|return|>", "<|call|>")
_BUILT_IN = frozenset(("browser.open", "browser.search", "browser.find", "python"))


class HarmonyParser:
    """An answer goes on after ``<|start|>assistant``, or inside of a message that was begun.

    ``names`` leads from the names the model uses for tools to their real ones.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        channel: str = "",
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self._names = names
        self._new_id = new_id
        self._held = ""
        self._in_header = not channel
        self._channel = channel
        self._recipient = ""
        self._count = 0
        self._saw_message = not self._in_header

    def feed(self, text: str) -> Delta:
        self._held += text
        content = thinking = ""
        calls: list[ToolCall] = []
        while True:
            if self._in_header and not self._read_header():
                break
            body, ended = self._read_body()
            if self._recipient:
                if ended:
                    content, calls = content + self._call(body, calls), calls
            elif self._channel == "analysis":
                thinking += body
            else:
                content += body
            if not ended:
                break
        return Delta(content=content, thinking=thinking, tool_calls=tuple(calls))

    def flush(self) -> Delta:
        held, self._held = self._held, ""
        if self._in_header:
            # No message at all: the model does not write in this form.
            return Delta() if self._saw_message else Delta(content=held)
        if self._recipient:
            calls: list[ToolCall] = []
            content = self._call(held, calls)
            return Delta(content=content, tool_calls=tuple(calls))
        if self._channel == "analysis":
            return Delta(thinking=held)
        return Delta(content=held)

    def _read_header(self) -> bool:
        header, tag, rest = self._held.partition(MESSAGE)
        if not tag:
            return False
        channel, recipient = _CHANNEL.search(header), _RECIPIENT.search(header)
        self._channel = channel[1] if channel else ""
        self._recipient = recipient[1] if recipient else ""
        self._held, self._in_header, self._saw_message = rest, False, True
        return True

    def _read_body(self) -> tuple[str, bool]:
        """What is certain of the body, all of it if it ended."""
        found = [(at, tag) for tag in _ENDS if (at := self._held.find(tag)) >= 0]
        if found:
            at, tag = min(found)
            body, self._held = self._held[:at], self._held[at + len(tag) :]
            self._in_header = True
            return body, True
        if self._recipient:
            return "", False
        certain = len(self._held) - partial_tags(self._held, _ENDS)
        body, self._held = self._held[:certain], self._held[certain:]
        return body, False

    def _call(self, body: str, calls: list[ToolCall]) -> str:
        """Adds the call to ``calls``; if the body is no object, it is content instead."""
        try:
            arguments = msgspec.json.decode(body.strip() or "{}")
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            return body
        name = self._recipient.removeprefix("functions.")
        name = self._names.get(name, name)
        calls.append(ToolCall(name, arguments, id=self._new_id(), index=self._count))
        self._count += 1
        return ""


# --- names of tools -----------------------------------------------------------------------------


def create(turn: Turn) -> HarmonyParser:
    last = turn.messages[-1] if turn.messages else None
    channel = ""
    if last is not None and last.role == "assistant":
        channel = "final" if last.content else "analysis" if last.thinking else ""
    return HarmonyParser({new: old for old, new in _safe_names(turn.tools).items()}, channel)


def prepare(turn: Turn) -> Turn:
    """The turn in the model's words: tools named by identifiers, and no effort beyond "high"."""
    names = _safe_names(turn.tools)
    tools = tuple(msgspec.structs.replace(tool, name=names[tool.name]) for tool in turn.tools)
    think = "high" if turn.think == "max" else turn.think
    messages = tuple(_renamed(message, names) for message in turn.messages)
    return replace(turn, tools=tools, think=think, messages=messages)


def _renamed(message: Message, names: Mapping[str, str]) -> Message:
    if not message.tool_calls and not message.tool_name:
        return message
    calls = tuple(
        msgspec.structs.replace(call, name=names.get(call.name, call.name))
        for call in message.tool_calls
    )
    name = names.get(message.tool_name, message.tool_name)
    return msgspec.structs.replace(message, tool_calls=calls, tool_name=name)


def _safe_names(tools: Sequence[Tool]) -> dict[str, str]:
    names: dict[str, str] = {}
    for tool in tools:
        if tool.name in names:
            continue
        safe = base = _safe_name(tool.name)
        number = 2
        while safe in names.values():
            safe, number = f"{base}_{number}", number + 1
        names[tool.name] = safe
    return names


def _safe_name(name: str) -> str:
    if name in _BUILT_IN:
        return name
    safe = re.sub(r"[^A-Za-z0-9_$]", "", re.sub(r"[ .-]", "_", name))
    return f"_{safe}" if not safe or safe[0].isdigit() else safe
