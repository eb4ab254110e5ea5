"""Prompts from Go templates, in the three ways Ollama's templates can be written.

A template that mentions ``.Messages`` gets the whole conversation. An older one is run once per
exchange with ``.System``, ``.Prompt`` and ``.Response``. One that mentions ``.Suffix`` can also
fill in text between two pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from pyollama.chat.functions import FUNCTIONS
from pyollama.chat.gotemplate import Template
from pyollama.chat.gotemplate.nodes import Block
from pyollama.chat.introspect import (
    Tags,
    cut_after_response,
    field_names,
    thinking_tags,
    tool_call_tag,
)
from pyollama.chat.templatedata import message_value, tools_value
from pyollama.types import Message, Tool

DEFAULT_TEMPLATE = "{{ .Prompt }}"


@dataclass(frozen=True, slots=True)
class GoTemplate:
    """A model's template, and what can be learnt from it."""

    template: Template
    fields: frozenset[str]
    thinking_tags: Tags | None
    tool_call_tag: str
    _last_part: Block = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> GoTemplate:
        """Raises ``TemplateError``. Room for the answer is added where the template has none."""
        template = Template.parse(text, FUNCTIONS)
        fields = field_names(template)
        if not fields & {"Messages", "Response"}:
            template = Template.parse(text + "{{ .Response }}", FUNCTIONS)
            fields |= {"Response"}
        return cls(
            template,
            fields,
            thinking_tags(template),
            tool_call_tag(template),
            cut_after_response(template.root),
        )

    @property
    def text(self) -> str:
        return self.template.text

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None
    ) -> str:
        """The prompt of a conversation; raises ``TemplateError``."""
        collated = collate(messages)
        if "Messages" not in self.fields:
            return self._render_exchanges(collated, think)
        system = "\n\n".join(m.content for m in messages if m.role == "system")
        return self.template.execute(
            {
                "System": system,
                "Messages": [message_value(message) for message in collated],
                "Tools": tools_value(tools),
                "Response": "",
                **_think_values(think),
            }
        )

    def render_insert(self, prefix: str, suffix: str, think: bool | str | None) -> str:
        """The prompt that asks for what stands between two texts."""
        values = {"Prompt": prefix, "Suffix": suffix, "Response": "", **_think_values(think)}
        return self.template.execute(values)

    def _render_exchanges(self, messages: Sequence[Message], think: bool | str | None) -> str:
        parts: list[str] = []
        values = {"System": "", "Prompt": "", "Response": ""}
        slots = {"system": "System", "user": "Prompt", "assistant": "Response"}
        closed_by = {"system": ("Prompt", "Response"), "user": ("Response",), "assistant": ()}
        for message in messages:
            slot = slots.get(message.role)
            if slot is None:
                continue
            if any(values[name] for name in closed_by[message.role]):
                parts.append(self.template.execute(values | _think_values(think)))
                values = dict.fromkeys(values, "")
            values[slot] = message.content
        last = self.template.execute_block(self._last_part, values | _think_values(think))
        return "".join(parts) + last


def _think_values(think: bool | str | None) -> dict[str, object]:
    level = think if isinstance(think, str) else "medium" if think else ""
    return {"Think": bool(think), "ThinkLevel": level, "IsThinkSet": think is not None}


def collate(messages: Sequence[Message]) -> list[Message]:
    """Neighbours of one role as one message, with a blank line between; tool results stay apart."""
    collated: list[Message] = []
    for message in messages:
        if collated and message.role == collated[-1].role != "tool":
            collated[-1] = _joined(collated[-1], message)
        else:
            collated.append(message)
    return collated


def _joined(first: Message, second: Message) -> Message:
    """Nothing of the second message is lost, unlike in Ollama."""
    return msgspec.structs.replace(
        first,
        content=f"{first.content}\n\n{second.content}",
        thinking=first.thinking or second.thinking,
        images=first.images + second.images,
        tool_calls=first.tool_calls + second.tool_calls,
    )
