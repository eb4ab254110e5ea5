"""The answers of gpt-oss: messages with a channel, and calls with a recipient."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec

from pyollama.chat.callids import new_call_id
from pyollama.chat.interface import Turn
from pyollama.chat.parsers.addressed import MESSAGE, START, AddressedParser, Kind
from pyollama.types import Message, Tool, ToolCall

END = "<|end|>"
PRESERVED = (START, END, MESSAGE, "<|channel|>", "<|constrain|>")
STOPS = ("<|call|>",)
RESUME = "<|end|><|start|>assistant<|channel|>final<|message|>"

_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_BUILT_IN = frozenset(("browser.open", "browser.search", "browser.find", "python"))


class HarmonyParser(AddressedParser):
    """What is said to a recipient is a call, the channel "analysis" is thinking.

    ``names`` leads from the names the model uses for tools to their real ones; a message in
    ``channel`` was begun in the prompt.
    """

    ends = (END, START, "<|return|>", "<|call|>")

    def __init__(
        self,
        names: Mapping[str, str],
        channel: str = "",
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        super().__init__(in_header=not channel, new_id=new_id)
        self._names = names
        self._channel = channel
        self._recipient = ""

    @property
    def _kind(self) -> Kind:
        if self._recipient:
            return "call"
        return "thinking" if self._channel == "analysis" else "content"

    def _read_header(self, header: str) -> None:
        channel, recipient = _CHANNEL.search(header), _RECIPIENT.search(header)
        self._channel = channel[1] if channel else ""
        self._recipient = recipient[1] if recipient else ""

    def _read_calls(self, body: str, calls: list[ToolCall]) -> str:
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
