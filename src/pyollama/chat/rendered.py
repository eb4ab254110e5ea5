"""Prompts made here: by a Go template or a named renderer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyollama.chat.answer import ParserChain
from pyollama.chat.gotemplates import GoTemplate
from pyollama.chat.grammar import format_grammar
from pyollama.chat.interface import OutputParser, Prompt, Turn
from pyollama.chat.introspect import Tags
from pyollama.chat.media import place_media
from pyollama.chat.parsers import NamedParser, PassthroughParser
from pyollama.chat.renderers import Renderer
from pyollama.chat.thinking import ThinkingParser
from pyollama.chat.toolcalls import ToolCallParser, preserved_text
from pyollama.types import Message


@dataclass(frozen=True, slots=True)
class RenderedFormat:
    """The chat format of a Go template, which a renderer may stand in for.

    Without a named parser, the template itself shows what thinking and tool calls look like.
    """

    template: GoTemplate
    renderer: Renderer | None = None
    parser: NamedParser | None = None
    native: bool = False

    def chat(self, turn: Turn) -> Prompt:
        text, files = self._render(turn)
        return self._prompt(text, files, turn)

    def complete(self, turn: Turn) -> Prompt:
        return self.chat(replace(turn, tools=()))

    def insert(self, prefix: str, suffix: str, turn: Turn) -> Prompt:
        text = self.template.render_insert(prefix, suffix, turn.think)
        parser, _, preserved = self._reading(text, replace(turn, tools=()))
        grammar = format_grammar(turn.format)
        return Prompt(text, parser, grammar=grammar, preserved=preserved)

    def raw(self, text: str, turn: Turn) -> Prompt:
        parser = self._thinking_parser(text, turn.think) or PassthroughParser()
        grammar = format_grammar(turn.format)
        return Prompt(text, parser, grammar=grammar)

    def after_thinking(self, turn: Turn, prompt: Prompt, thinking: str) -> Prompt:
        if self.parser is not None and self.parser.around_thinking is not None:
            text, files = (
                _thought(prompt.text, thinking, self.parser.around_thinking),
                prompt.images,
            )
        else:
            thought = Message("assistant", thinking=thinking)
            text, files = self._render(replace(turn, messages=(*turn.messages, thought)))
            text += self.parser.resume if self.parser else ""
        # Harmony's parser knows that the thinking is over; others must not look for more.
        goes_on = self.parser is not None and self.parser.around_thinking is None
        return replace(
            prompt,
            text=text,
            parser=prompt.parser if goes_on else PassthroughParser(),
            grammar=format_grammar(turn.format),
            images=files,
            constrain_later=False,
        )

    def _render(self, turn: Turn) -> tuple[str, tuple[bytes, ...]]:
        if self.parser is not None:
            turn = self.parser.prepare(turn)
        messages, files = place_media(turn.messages, gap=" " if self.renderer else "")
        if self.renderer is not None:
            return self.renderer(replace(turn, messages=messages)), files
        return self.template.render(messages, turn.tools, turn.think), files

    def _prompt(self, text: str, files: tuple[bytes, ...], turn: Turn) -> Prompt:
        grammar = format_grammar(turn.format)
        parser, thinks, preserved = self._reading(text, turn)
        later = grammar is not None and thinks
        return Prompt(
            text,
            parser,
            grammar=None if later else grammar,
            stops=self.parser.stops if self.parser else (),
            preserved=preserved,
            images=files,
            constrain_later=later,
        )

    def _reading(self, text: str, turn: Turn) -> tuple[OutputParser, bool, tuple[str, ...]]:
        """The parser for an answer, whether it knows thinking, and the tokens it must see."""
        preserved: list[str] = []
        thinks = False
        parser: OutputParser | None = None
        if self.parser is not None:
            parser = self.parser.create(turn)
            thinks = self.parser.always_thinks or (self.parser.thinking and turn.think is not False)
            preserved += self.parser.preserved
        elif thinking := self._thinking_parser(text, turn.think):
            parser, thinks = thinking, True
            if tags := self.template.thinking_tags:
                preserved += (tags.opening, tags.closing)
        if turn.tools and not (self.parser and self.parser.tools):
            tag = self.template.tool_call_tag
            calls = ToolCallParser(tag, turn.tools)
            parser = calls if parser is None else ParserChain(parser, calls)
            preserved += filter(None, (preserved_text(tag),))
        return parser or PassthroughParser(), thinks, tuple(preserved)

    def _thinking_parser(self, text: str, think: bool | str | None) -> ThinkingParser | None:
        tags = self.template.thinking_tags
        if tags is None or not think or self.parser is not None:
            return None
        return ThinkingParser(tags, inside=text.rstrip().endswith(tags.opening))


def _thought(prompt: str, thinking: str, tags: Tags) -> str:
    """``prompt`` with finished thinking behind it, if there was any or room for it."""
    opened = prompt.rstrip().endswith(tags.opening.rstrip())
    if not opened and not thinking:
        return prompt
    return f"{prompt}{'' if opened else tags.opening}{thinking.strip()}{tags.closing}"
