"""A parsed template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyollama.chat.gotemplate.evaluate import Limits
from pyollama.chat.gotemplate.execute import Execution
from pyollama.chat.gotemplate.functions import BUILTINS, Function
from pyollama.chat.gotemplate.nodes import Block
from pyollama.chat.gotemplate.parse import Parser
from pyollama.chat.gotemplate.quote import clean

_NO_FUNCTIONS: Mapping[str, Function] = {}
_DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Template:
    """A Go ``text/template`` with the templates that are defined in it.

    ``functions`` holds the built-in ones and those that were added. A template is immutable, so
    many threads may run it at once.
    """

    text: str
    templates: Mapping[str, Block]
    functions: Mapping[str, Function]
    name: str = ""

    @classmethod
    def parse(
        cls, text: str, functions: Mapping[str, Function] = _NO_FUNCTIONS, name: str = ""
    ) -> Template:
        """Raises ``TemplateError`` in Go's words."""
        available = {**BUILTINS, **functions}
        parser = Parser(name, text, available)
        parser.parse()
        return cls(text, parser.templates, available, name)

    @property
    def root(self) -> Block:
        return self.templates[self.name]

    def execute(self, data: object, limits: Limits = _DEFAULT_LIMITS) -> str:
        """Raises ``TemplateError`` in Go's words, also for a run that passes a limit.

        A key that a map lacks has no value: it is false and prints as ``<no value>``.
        """
        return self.execute_block(self.root, data, limits)

    def execute_block(self, block: Block, data: object, limits: Limits = _DEFAULT_LIMITS) -> str:
        """As ``execute()``, with another block in place of the template's own."""
        run = Execution(self.name, self.text, self.templates, self.functions, limits)
        return clean(run.run(block, data))
