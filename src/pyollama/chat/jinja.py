"""Prompts made by llama.cpp from a Jinja template, and answers read by its parsers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from pyollama.chat.grammar import format_grammar, invalid_format
from pyollama.chat.interface import Prompt, Turn
from pyollama.chat.jinjaparser import JinjaParser
from pyollama.chat.parsers import PassthroughParser
from pyollama.errors import UnsupportedCapability
from pyollama.types import JSON, Grammar, Message, Tool

_PROMPT_END = r'^root ::=(?: "(?:[^"\\]|\\.)*")?(?: space)*'
_THINKING = r'(?: \("[^"]+"[^()]*(?:\([^()]*\))?\)\?)(?: space)*'
_JSON = r' (?:response-format(?:-schema)?|\("```json"[^()]*\| space response-format space\)) *$'
_NOTHING_BUT_JSON = re.compile(_PROMPT_END + _JSON, re.MULTILINE)
_THINKING_THEN_JSON = re.compile(_PROMPT_END + _THINKING + _JSON, re.MULTILINE)
"""The first rule of llama.cpp's grammar for such an answer."""


class RenderedJinja(Protocol):
    """``pyollama._native.RenderedChat``"""

    @property
    def prompt(self) -> str: ...
    @property
    def grammar(self) -> str: ...
    @property
    def grammar_lazy(self) -> bool: ...
    @property
    def grammar_trigger_patterns(self) -> Sequence[str]: ...
    @property
    def grammar_trigger_tokens(self) -> Sequence[int]: ...
    @property
    def grammar_prefill(self) -> str: ...
    @property
    def thinking_start(self) -> str: ...
    @property
    def thinking_ends(self) -> Sequence[str]: ...
    @property
    def preserved_tokens(self) -> Sequence[int]: ...
    @property
    def stops(self) -> Sequence[str]: ...
    def parse(self, text: str, *, partial: bool) -> str: ...


class JinjaTemplate(Protocol):
    """``pyollama._native.ChatTemplate``"""

    def apply(self, request: str) -> RenderedJinja: ...


@dataclass(frozen=True, slots=True)
class JinjaFormat:
    """The chat format of a model whose weights bring a Jinja template."""

    template: JinjaTemplate
    native: bool = True

    def chat(self, turn: Turn) -> Prompt:
        rendered = self._apply(turn)
        grammar, later = _grammar(rendered), False
        if _is_json(turn, rendered):
            grammar, later = format_grammar(turn.format), _thinks(turn, rendered)
        if later:
            grammar, rendered = None, self._apply(replace(turn, format=None))
        return Prompt(
            rendered.prompt,
            JinjaParser(rendered),
            grammar=grammar,
            stops=tuple(rendered.stops),
            preserved_tokens=tuple(rendered.preserved_tokens),
            images=_files(turn.messages),
            constrain_later=later,
        )

    def complete(self, turn: Turn) -> Prompt:
        """Thinking and all stay in the answer's text."""
        rendered = self._apply(replace(turn, tools=(), format=None))
        return Prompt(
            rendered.prompt,
            PassthroughParser(),
            grammar=format_grammar(turn.format),
            images=_files(turn.messages),
        )

    def insert(self, prefix: str, suffix: str, turn: Turn) -> Prompt:
        raise UnsupportedCapability("the model's template has no place for a suffix")

    def raw(self, text: str, turn: Turn) -> Prompt:
        grammar = format_grammar(turn.format)
        return Prompt(text, PassthroughParser(), grammar=grammar)

    def after_thinking(self, turn: Turn, prompt: Prompt, thinking: str) -> Prompt:
        rendered = self._apply(replace(turn, format=None))
        opening, closing = rendered.thinking_start, rendered.thinking_ends[0].strip()
        text = prompt.text
        opened = text.rstrip().endswith(opening)
        if opened or thinking:
            begun = text.rstrip() if opened else text + opening
            text = f"{begun}\n{thinking.strip()}\n{closing}\n\n"
        return replace(
            prompt,
            text=text,
            parser=PassthroughParser(),
            grammar=format_grammar(turn.format),
            constrain_later=False,
        )

    def _apply(self, turn: Turn) -> RenderedJinja:
        return self.template.apply(json.dumps(_request(turn)))


def _grammar(rendered: RenderedJinja) -> Grammar | None:
    if not rendered.grammar:
        return None
    return Grammar(
        rendered.grammar,
        lazy=rendered.grammar_lazy,
        trigger_patterns=tuple(rendered.grammar_trigger_patterns),
        trigger_tokens=tuple(rendered.grammar_trigger_tokens),
        prefill=rendered.grammar_prefill,
    )


def _is_json(turn: Turn, rendered: RenderedJinja) -> bool:
    """Whether the answer is the JSON asked for and nothing else, except for thinking before it.

    Then it gets a guide. llama.cpp's grammar knows what else a template may want around it, and the
    beginning of an answer that is to be continued.
    """
    if turn.format in (None, "") or _prefilled(turn.messages):
        return False
    if _NOTHING_BUT_JSON.search(rendered.grammar):
        return True
    return not turn.tools and (
        not rendered.grammar or _THINKING_THEN_JSON.search(rendered.grammar) is not None
    )


def _thinks(turn: Turn, rendered: RenderedJinja) -> bool:
    if not rendered.thinking_start or not rendered.thinking_ends:
        return False
    return turn.think is not False or rendered.prompt.rstrip().endswith(rendered.thinking_start)


def _request(turn: Turn) -> JSON:
    request: JSON = {
        "messages": [_message(message) for message in turn.messages],
        "tools": [_tool(tool) for tool in turn.tools],
        "add_generation_prompt": True,
        "reasoning_format": "auto",
    }
    if turn.think is not None:
        request["enable_thinking"] = bool(turn.think)
    if isinstance(turn.think, str):
        request["kwargs"] = {"reasoning_effort": turn.think}
    if _prefilled(turn.messages):
        request |= {
            "add_generation_prompt": False,
            "continue_final_message": True,
            "enable_thinking": False,
        }
    if turn.format is not None and turn.format != "":
        request["json_schema"] = _schema(turn.format)
    return request


def _schema(wanted: str | JSON) -> JSON:
    if isinstance(wanted, dict):
        return wanted
    if wanted == "json":
        return {"type": "object"}
    raise invalid_format(wanted)


def _prefilled(messages: Sequence[Message]) -> str:
    """The text of a last message that the model is to continue."""
    if messages and messages[-1].role == "assistant" and not messages[-1].tool_calls:
        return messages[-1].content
    return ""


def _files(messages: Sequence[Message]) -> tuple[bytes, ...]:
    return tuple(file for message in messages for file in message.images)


def _message(message: Message) -> JSON:
    result: JSON = {"role": message.role, "content": message.content}
    if message.thinking:
        result["reasoning_content"] = message.thinking
    if message.tool_name:
        result["name"] = message.tool_name
    if message.tool_call_id:
        result["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        result["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return result


def _tool(tool: Tool) -> JSON:
    function: JSON = {"name": tool.name, "description": tool.description}
    return {"type": tool.type, "function": function | {"parameters": tool.parameters}}
