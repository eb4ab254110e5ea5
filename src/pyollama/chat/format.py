"""From a stored model to its chat format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyollama.chat.choice import Renderer, choose, parse_template, parser_name
from pyollama.chat.facts import ModelFacts
from pyollama.chat.forgetful import ForgetfulFormat
from pyollama.chat.gotemplates import DEFAULT_TEMPLATE, GoTemplate
from pyollama.chat.interface import ChatFormat, Prompt, Turn
from pyollama.chat.jinja import JinjaFormat, JinjaTemplate
from pyollama.chat.names import renderer_of
from pyollama.chat.parsers import PARSERS
from pyollama.chat.rendered import RenderedFormat
from pyollama.chat.renderers import RENDERERS
from pyollama.errors import TemplateError

OpenJinja = Callable[[str | None], JinjaTemplate]
"""Opens a Jinja template; ``None`` asks for ChatML."""


def select(
    facts: ModelFacts,
    open_jinja: OpenJinja,
    *,
    prefer_go: bool | None = None,
) -> ChatFormat:
    """The chat format of a model.

    ``prefer_go`` decides where a model has a Go template and a Jinja template; ``None`` takes the
    abler one. Raises ``TemplateError`` for a template that cannot be read, and for a renderer that
    is not known. A parser that is not known is none.
    """
    chosen = _select(facts, open_jinja, prefer_go)
    return ForgetfulFormat(chosen) if facts.forgets_thinking else chosen


def _select(
    facts: ModelFacts,
    open_jinja: OpenJinja,
    prefer_go: bool | None,
) -> ChatFormat:
    template = parse_template(facts)
    renderer = choose(facts, template, prefer_go)
    if renderer is Renderer.JINJA:
        return JinjaFormat(open_jinja(facts.jinja))
    plain = RenderedFormat(template or GoTemplate.parse(DEFAULT_TEMPLATE))
    if renderer is Renderer.NOTHING:
        return UntemplatedFormat(JinjaFormat(open_jinja(None)), plain)
    name = renderer_of(facts)
    if name and name not in RENDERERS:
        raise TemplateError(f'unknown renderer "{name}"')
    return RenderedFormat(
        plain.template,
        renderer=RENDERERS.get(name),
        parser=PARSERS.get(parser_name(facts, template)),
    )


def from_template(text: str) -> ChatFormat:
    """The format of a Go template that came with a request; raises ``TemplateError``."""
    return RenderedFormat(GoTemplate.parse(text))


def shown_template(facts: ModelFacts, *, prefer_go: bool | None = None) -> str:
    """The text of the template that is used, or what Ollama shows for none."""
    if choose(facts, parse_template(facts), prefer_go) is Renderer.JINJA:
        return facts.jinja
    return DEFAULT_TEMPLATE if facts.template is None else facts.template


@dataclass(frozen=True, slots=True)
class UntemplatedFormat:
    """A model that says nothing: it chats in ChatML, and completes the bare prompt."""

    chatting: JinjaFormat
    completing: RenderedFormat
    native: bool = True

    def chat(self, turn: Turn) -> Prompt:
        return self.chatting.chat(turn)

    def complete(self, turn: Turn) -> Prompt:
        return self.completing.complete(turn)

    def insert(self, prefix: str, suffix: str, turn: Turn) -> Prompt:
        return self.completing.insert(prefix, suffix, turn)

    def raw(self, text: str, turn: Turn) -> Prompt:
        return self.completing.raw(text, turn)

    def after_thinking(self, turn: Turn, prompt: Prompt, thinking: str) -> Prompt:
        return self.chatting.after_thinking(turn, prompt, thinking)
