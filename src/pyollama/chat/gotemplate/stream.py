"""Reading tokens one after the other, with look-ahead and errors that name the line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyollama.chat.gotemplate.lex import Kind, Lexer, Token
from pyollama.errors import TemplateError

MAX_NESTING = 64
MAX_TOKENS = 50_000
"""The templates of models have a few thousand at most."""


class TokenStream:
    """The tokens of one text."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._tokens = iter(Lexer(text))
        self._ahead: list[Token] = []  # tokens that were pushed back, the next one last
        self._left = MAX_TOKENS
        self._line = 1  # of the token read last from the lexer
        self._action_line = 0  # where the action that is being read began; 0 outside of actions
        self._depth = 0

    # --- tokens ---------------------------------------------------------------------------------

    def _next(self) -> Token:
        if self._ahead:
            return self._ahead.pop()
        token = next(self._tokens)
        self._left -= 1
        if self._left < 0:
            raise self._error(f"longer than {MAX_TOKENS} tokens")
        if token.kind in (Kind.EOF, Kind.ERROR):
            # Whoever asks again sees the end again.
            self._tokens = iter((token,) * 4)
        self._line = token.line
        return token

    def _push_back(self, *tokens: Token) -> None:
        """``tokens`` in the order they were read."""
        self._ahead.extend(reversed(tokens))

    def _peek(self) -> Token:
        token = self._next()
        self._push_back(token)
        return token

    def _next_word(self) -> Token:
        while (token := self._next()).kind is Kind.SPACE:
            pass
        return token

    def _peek_word(self) -> Token:
        token = self._next_word()
        self._push_back(token)
        return token

    def _expect(self, context: str, *kinds: Kind) -> Token:
        token = self._next_word()
        if token.kind not in kinds:
            raise self._unexpected(token, context)
        return token

    # --- errors ---------------------------------------------------------------------------------

    def _error(self, complaint: str) -> TemplateError:
        return TemplateError(f"template: {self._name}:{self._line}: {complaint}")

    def _unexpected(self, token: Token, context: str) -> TemplateError:
        if token.kind is not Kind.ERROR:
            return self._error(f"unexpected {token} in {context}")
        where = ""
        if self._action_line not in (0, token.line):
            where = f" in action started at {self._name}:{self._action_line}"
            if token.text.endswith(" action"):
                where = where.removeprefix(" in action")
        return self._error(f"{token}{where}")

    @contextmanager
    def _nested(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._error("max expression depth exceeded")
        yield
        self._depth -= 1
