"""Parsing pipelines: what stands inside of an action."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from pyollama.chat.gotemplate.lex import Kind, Token
from pyollama.chat.gotemplate.nodes import (
    Bool,
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    Nil,
    Number,
    Operand,
    Pipe,
    String,
    Variable,
)
from pyollama.chat.gotemplate.numbers import parse_number
from pyollama.chat.gotemplate.quote import quote, unquote, unquote_char
from pyollama.chat.gotemplate.stream import TokenStream

_LITERALS = {
    Kind.BOOL,
    Kind.CHAR_CONSTANT,
    Kind.COMPLEX,
    Kind.DOT,
    Kind.NUMBER,
    Kind.NIL,
    Kind.RAW_STRING,
    Kind.STRING,
}
_OPERANDS = _LITERALS | {Kind.FIELD, Kind.IDENTIFIER, Kind.VARIABLE, Kind.LEFT_PAREN}


class Scope:
    """What one template body has of its own: its variables and the ranges around a point."""

    def __init__(self) -> None:
        self._names = ["$"]
        self._counts = Counter(self._names)
        self.ranges = 0

    def declare(self, name: str) -> None:
        self._names.append(name)
        self._counts[name] += 1

    def knows(self, name: str) -> bool:
        return self._counts[name] > 0

    @property
    def mark(self) -> int:
        """Where the scope stands, for :meth:`forget`."""
        return len(self._names)

    def forget(self, mark: int) -> None:
        """Drop the variables that were declared since."""
        self._counts.subtract(self._names[mark:])
        del self._names[mark:]


class ExpressionParser(TokenStream):
    """Knows which functions and variables may be used."""

    def __init__(self, name: str, text: str, functions: Collection[str]) -> None:
        super().__init__(name, text)
        self._functions = functions
        self._scope = Scope()

    # --- expressions ----------------------------------------------------------------------------

    def _pipe(self, context: str, end: Kind) -> Pipe:
        position = self._peek_word().position
        variables, is_assignment = self._declarations(context)
        commands: list[Command] = []
        while (token := self._next_word()).kind is not end:
            if token.kind not in _OPERANDS:
                raise self._unexpected(token, context)
            self._push_back(token)
            commands.append(self._command())
        if not commands:
            raise self._error(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], 2):
            if isinstance(command.operands[0], Bool | Dot | Nil | Number | String):
                raise self._error(f"non executable command in pipeline stage {stage}")
        return Pipe(position, variables, is_assignment, tuple(commands))

    def _declarations(self, context: str) -> tuple[tuple[Variable, ...], bool]:
        variables: list[Variable] = []
        while self._peek_word().kind is Kind.VARIABLE:
            name = self._next_word()
            after = self._next()
            sign = after if after.kind is not Kind.SPACE else self._next_word()
            if sign.kind in (Kind.ASSIGN, Kind.DECLARE):
                variables.append(self._declare(name))
                return tuple(variables), sign.kind is Kind.ASSIGN
            if sign.kind is not Kind.CHAR or sign.text != ",":
                self._push_back(*((name, after) if sign is after else (name, after, sign)))
                break
            variables.append(self._declare(name))
            if context != "range" or len(variables) > 1:
                raise self._error(f"too many declarations in {context}")
            if self._peek_word().kind not in (Kind.VARIABLE, Kind.RIGHT_DELIM, Kind.RIGHT_PAREN):
                raise self._error("range can only initialize variables")
        return tuple(variables), False

    def _declare(self, name: Token) -> Variable:
        self._scope.declare(name.text)
        return Variable(name.position, (name.text,))

    def _command(self) -> Command:
        position = self._peek_word().position
        operands: list[Operand] = []
        while True:
            self._push_back(self._next_word())
            operand = self._operand()
            if operand is not None:
                operands.append(operand)
            token = self._next()
            if token.kind is Kind.SPACE:
                continue
            if token.kind in (Kind.RIGHT_DELIM, Kind.RIGHT_PAREN):
                self._push_back(token)
            elif token.kind is not Kind.PIPE:
                raise self._unexpected(token, "operand")
            break
        if not operands:
            raise self._error("empty command")
        return Command(position, tuple(operands))

    def _operand(self) -> Operand | None:
        term = self._term()
        if term is None or self._peek().kind is not Kind.FIELD:
            return term
        position = self._peek().position
        names: list[str] = []
        while self._peek().kind is Kind.FIELD:
            names.append(self._next().text[1:])
        if isinstance(term, Field):
            return Field(position, (*term.names, *names))
        if isinstance(term, Variable):
            return Variable(position, (*term.names, *names))
        if isinstance(term, Bool | String | Number | Nil | Dot):
            raise self._error(f"unexpected . after term {quote(str(term))}")
        return Chain(position, term, tuple(names))

    def _term(self) -> Operand | None:
        token = self._next_word()
        match token.kind:
            case Kind.IDENTIFIER:
                if token.text not in self._functions:
                    raise self._error(f"function {quote(token.text)} not defined")
                return Identifier(token.position, token.text)
            case Kind.VARIABLE:
                if not self._scope.knows(token.text):
                    raise self._error(f"undefined variable {quote(token.text)}")
                return Variable(token.position, (token.text,))
            case Kind.FIELD:
                return Field(token.position, (token.text[1:],))
            case Kind.LEFT_PAREN:
                with self._nested():
                    return self._pipe("parenthesized pipeline", Kind.RIGHT_PAREN)
        if token.kind in _LITERALS:
            return self._literal(token)
        self._push_back(token)
        return None

    def _literal(self, token: Token) -> Operand:
        match token.kind:
            case Kind.DOT:
                return Dot(token.position)
            case Kind.NIL:
                return Nil(token.position)
            case Kind.BOOL:
                return Bool(token.position, token.text == "true")
            case Kind.STRING | Kind.RAW_STRING:
                return String(token.position, token.text, self._unquoted(token))
        return self._number(token)

    def _unquoted(self, literal: Token) -> str:
        try:
            return unquote(literal.text)
        except ValueError as error:
            raise self._error(str(error)) from None

    def _number(self, token: Token) -> Number:
        is_char = token.kind is Kind.CHAR_CONSTANT
        try:
            value = unquote_char(token.text) if is_char else parse_number(token.text)
        except ValueError as error:
            raise self._error(str(error)) from None
        return Number(token.position, token.text, value)
