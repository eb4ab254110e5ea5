"""From tokens to trees."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pyollama.chat.gotemplate.expressions import ExpressionParser, Scope
from pyollama.chat.gotemplate.lex import Kind, Token
from pyollama.chat.gotemplate.nodes import (
    Action,
    Block,
    Break,
    Call,
    Continue,
    If,
    Range,
    Statement,
    Text,
    With,
    is_empty,
)
from pyollama.chat.gotemplate.quote import quote
from pyollama.errors import TemplateError

MAX_TEXT = 1 << 20  # characters of a template
_BRANCHES: dict[Kind, type[If | Range | With]] = {
    Kind.IF: If,
    Kind.RANGE: Range,
    Kind.WITH: With,
}


@dataclass(frozen=True, slots=True)
class _End:
    """``{{end}}`` or ``{{else}}``, which close a block."""

    position: int
    is_else: bool = False

    def __str__(self) -> str:
        return "{{else}}" if self.is_else else "{{end}}"


class Parser(ExpressionParser):
    """Parses one text; ``templates`` gets every template that is defined in it, by name."""

    def __init__(self, name: str, text: str, functions: Collection[str]) -> None:
        if len(text) > MAX_TEXT:
            raise TemplateError(f"template: {name}: longer than {MAX_TEXT} characters")
        super().__init__(name, text, functions)
        self.templates: dict[str, Block] = {}

    def parse(self) -> None:
        statements: list[Statement] = []
        position = self._peek().position
        while self._peek().kind is not Kind.EOF:
            if self._at_definition():
                self._definition()
                continue
            part = self._text_or_action()
            if isinstance(part, _End):
                raise self._error(f"unexpected {part}")
            statements.append(part)
        self._add(self._name, Block(position, tuple(statements)))

    # --- templates ------------------------------------------------------------------------------

    def _add(self, name: str, block: Block) -> None:
        known = self.templates.get(name)
        if known is None or is_empty(known):
            self.templates[name] = block
        elif not is_empty(block):
            raise self._error(f"template: multiple definition of template {quote(name)}")

    def _at_definition(self) -> bool:
        """Reads the start of a definition, and nothing else."""
        opening = self._next()
        if opening.kind is not Kind.LEFT_DELIM:
            self._push_back(opening)
            return False
        keyword = self._next_word()
        if keyword.kind is Kind.DEFINE:
            return True
        self._push_back(opening, keyword)
        return False

    def _definition(self) -> None:
        context = "define clause"
        _, name = self._template_name(context)
        self._expect(context, Kind.RIGHT_DELIM)
        self._body(name, context)

    def _body(self, name: str, context: str) -> None:
        """The statements of a template that is defined inside another one."""
        outer, self._scope = self._scope, Scope()
        block, end = self._block()
        if end.is_else:
            raise self._error(f"unexpected {end} in {context}")
        self._add(name, block)
        self._scope = outer

    def _template_name(self, context: str) -> tuple[Token, str]:
        literal = self._expect(context, Kind.STRING, Kind.RAW_STRING)
        return literal, self._unquoted(literal)

    # --- statements -----------------------------------------------------------------------------

    def _block(self) -> tuple[Block, _End]:
        with self._nested():
            position = self._peek_word().position
            statements: list[Statement] = []
            while self._peek_word().kind is not Kind.EOF:
                part = self._text_or_action()
                if isinstance(part, _End):
                    return Block(position, tuple(statements)), part
                statements.append(part)
        raise self._error("unexpected EOF")

    def _text_or_action(self) -> Statement | _End:
        token = self._next_word()
        if token.kind is Kind.TEXT:
            return Text(token.position, token.text)
        if token.kind is not Kind.LEFT_DELIM:
            raise self._unexpected(token, "input")
        self._action_line = token.line
        action = self._action()
        self._action_line = 0
        return action

    def _action(self) -> Statement | _End:
        token = self._next_word()
        match token.kind:
            case Kind.IF | Kind.RANGE | Kind.WITH:
                return self._branch(token.kind)
            case Kind.ELSE:
                return self._else()
            case Kind.END:
                return _End(self._expect("end", Kind.RIGHT_DELIM).position)
            case Kind.BREAK | Kind.CONTINUE:
                return self._leave(token)
            case Kind.TEMPLATE:
                return self._call()
            case Kind.BLOCK:
                return self._call_and_define()
        self._push_back(token)
        return Action(token.position, self._pipe("command", Kind.RIGHT_DELIM))

    def _leave(self, keyword: Token) -> Break | Continue:
        tag = f"{{{{{keyword.text}}}}}"
        self._expect(tag, Kind.RIGHT_DELIM)
        if not self._scope.ranges:
            raise self._error(f"{tag} outside {{{{range}}}}")
        return (Break if keyword.kind is Kind.BREAK else Continue)(keyword.position)

    def _else(self) -> _End:
        following = self._peek_word()
        if following.kind in (Kind.IF, Kind.WITH):
            return _End(following.position, is_else=True)
        return _End(self._expect("else", Kind.RIGHT_DELIM).position, is_else=True)

    def _branch(self, keyword: Kind) -> If | Range | With:
        """The rest of an ``if``, ``range`` or ``with``; its variables end with it."""
        context = keyword.value
        mark = self._scope.mark
        pipe = self._pipe(context, Kind.RIGHT_DELIM)
        self._scope.ranges += keyword is Kind.RANGE
        body, end = self._block()
        self._scope.ranges -= keyword is Kind.RANGE
        otherwise = self._otherwise(keyword, end) if end.is_else else None
        self._scope.forget(mark)
        return _BRANCHES[keyword](pipe.position, pipe, body, otherwise)

    def _otherwise(self, keyword: Kind, start: _End) -> Block:
        if keyword in (Kind.IF, Kind.WITH) and self._peek().kind is keyword:
            # "else if": the inner branch takes the closing "end" for both.
            self._next()
            with self._nested():
                return Block(start.position, (self._branch(keyword),))
        block, end = self._block()
        if end.is_else:
            raise self._error(f"expected end; found {end}")
        return block

    def _call(self) -> Call:
        context = "template clause"
        literal, name = self._template_name(context)
        following = self._next_word()
        if following.kind is Kind.RIGHT_DELIM:
            return Call(literal.position, name, None)
        self._push_back(following)
        return Call(literal.position, name, self._pipe(context, Kind.RIGHT_DELIM))

    def _call_and_define(self) -> Call:
        context = "block clause"
        literal, name = self._template_name(context)
        pipe = self._pipe(context, Kind.RIGHT_DELIM)
        self._body(name, context)
        return Call(literal.position, name, pipe)
