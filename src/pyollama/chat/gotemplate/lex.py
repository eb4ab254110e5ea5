"""From the text of a template to tokens."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from enum import Enum
from typing import NamedTuple

from pyollama.chat.gotemplate.quote import printable, quote


class Kind(Enum):
    """What a token is. Punctuation and keywords are named by what they look like."""

    ERROR = "error"
    EOF = "end of template"
    TEXT = "text"
    LEFT_DELIM = "{{"
    RIGHT_DELIM = "}}"
    SPACE = " "
    PIPE = "|"
    DECLARE = ":="
    ASSIGN = "="
    LEFT_PAREN = "("
    RIGHT_PAREN = ")"
    CHAR = "another character"
    STRING = "string"
    RAW_STRING = "raw string"
    CHAR_CONSTANT = "character constant"
    NUMBER = "number"
    COMPLEX = "complex number"
    BOOL = "bool"
    IDENTIFIER = "identifier"
    FIELD = "field"
    VARIABLE = "variable"
    DOT = "."
    BLOCK = "block"
    BREAK = "break"
    CONTINUE = "continue"
    DEFINE = "define"
    ELSE = "else"
    END = "end"
    IF = "if"
    NIL = "nil"
    RANGE = "range"
    TEMPLATE = "template"
    WITH = "with"


KEYWORDS = {
    kind.value: kind
    for kind in (
        Kind.BLOCK,
        Kind.BREAK,
        Kind.CONTINUE,
        Kind.DEFINE,
        Kind.ELSE,
        Kind.END,
        Kind.IF,
        Kind.NIL,
        Kind.RANGE,
        Kind.TEMPLATE,
        Kind.WITH,
    )
}


class Token(NamedTuple):
    """``position`` counts characters from the start of the template, ``line`` begins at 1."""

    kind: Kind
    position: int
    text: str
    line: int

    def __str__(self) -> str:
        if self.kind is Kind.EOF:
            return "EOF"
        if self.kind is Kind.ERROR:
            return self.text
        if self.kind.value in KEYWORDS or self.kind is Kind.DOT:
            return f"<{self.text}>"
        if len(self.text.encode("utf-8", "surrogatepass")) > 10:
            return quote(self.text[:10]) + "..."
        return quote(self.text)


_SPACES = " \t\r\n"
_CLOSE = re.compile(r"([ \t\r\n]-)?\}\}")
_SCAN_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*(?:\.[0-7_]*)?"
    r"|0[bB][01_]*(?:\.[01_]*)?"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)
_BLANKS = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[A-Za-z0-9_]*")
_QUOTED = {
    '"': re.compile(r'"(?:[^"\\\n]|\\[^\n])*"'),
    "'": re.compile(r"'(?:[^'\\\n]|\\[^\n])*'"),
    "`": re.compile(r"`[^`]*`"),
}
_QUOTED_KINDS = {
    '"': (Kind.STRING, "unterminated quoted string"),
    "'": (Kind.CHAR_CONSTANT, "unterminated character constant"),
    "`": (Kind.RAW_STRING, "unterminated raw quoted string"),
}
_PUNCTUATION = {"=": Kind.ASSIGN, "|": Kind.PIPE, "(": Kind.LEFT_PAREN, ")": Kind.RIGHT_PAREN}


def _alphanumeric(char: str) -> bool:
    return char == "_" or char.isalpha() or char.isdecimal()


def _code_point(char: str) -> str:
    """``char`` as Go's ``%#U`` shows it."""
    shown = f"U+{ord(char):04X}" if char else "U+FFFFFFFFFFFFFFFF"
    return f"{shown} '{char}'" if char and printable(char) else shown


class _LexError(Exception):
    pass


class Lexer:
    """Iterating over it yields the tokens, the last one EOF or ERROR."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._start = 0
        self._line = 1
        self._parens = 0

    def __iter__(self) -> Iterator[Token]:
        try:
            while self._position < len(self._text):
                if (yield from self._lex_text()):
                    yield from self._lex_action()
        except _LexError as error:
            yield Token(Kind.ERROR, self._start, str(error), self._line)
            return
        yield Token(Kind.EOF, self._position, "EOF", self._line)

    def _emit(self, kind: Kind) -> Token:
        token = Token(kind, self._start, self._text[self._start : self._position], self._line)
        self._skip()
        return token

    def _skip(self) -> None:
        """Drop what lies between the start of the token and the position."""
        self._line += self._text.count("\n", self._start, self._position)
        self._start = self._position

    def _peek(self, offset: int = 0) -> str:
        index = self._position + offset
        return self._text[index] if index < len(self._text) else ""

    def _take(self, pattern: re.Pattern[str]) -> None:
        """Move behind what ``pattern`` matches, if it does."""
        if match := pattern.match(self._text, self._position):
            self._position = match.end()

    def _trims_left(self, position: int) -> bool:
        return (
            self._text.startswith("-", position)
            and position + 1 < len(self._text)
            and self._text[position + 1] in _SPACES
        )

    def _lex_text(self) -> Generator[Token, None, bool]:
        """Plain text and comments up to the next action; returns whether there is one."""
        while (opening := self._text.find("{{", self._position)) >= 0:
            end = opening
            trim = self._trims_left(opening + 2)
            if trim:
                end = self._start + len(self._text[self._start : opening].rstrip(_SPACES))
            self._position = end
            if end > self._start:
                yield self._emit(Kind.TEXT)
            self._position = opening
            self._skip()
            after = opening + (4 if trim else 2)
            if not self._text.startswith("/*", after):
                self._position = opening + 2
                yield self._emit(Kind.LEFT_DELIM)
                self._position = after
                self._skip()
                self._parens = 0
                return True
            self._position = after
            self._skip()
            self._skip_comment()
        self._position = len(self._text)
        if self._position > self._start:
            yield self._emit(Kind.TEXT)
        return False

    def _skip_comment(self) -> None:
        end = self._text.find("*/", self._position + 2)
        if end < 0:
            raise _LexError("unclosed comment")
        closing = _CLOSE.match(self._text, end + 2)
        if closing is None:
            raise _LexError("comment ends before closing delimiter")
        self._after_close(closing)

    def _after_close(self, closing: re.Match[str]) -> None:
        self._position = closing.end()
        if closing.group(1):
            self._take(_BLANKS)
        self._skip()

    def _lex_action(self) -> Iterator[Token]:
        while True:
            closing = _CLOSE.match(self._text, self._position)
            if closing is None:
                yield self._lex_inside()
                continue
            if self._parens:
                raise _LexError("unclosed left paren")
            self._position = closing.end() - 2
            self._skip()
            self._position += 2
            yield self._emit(Kind.RIGHT_DELIM)
            self._after_close(closing)
            return

    def _lex_inside(self) -> Token:
        char = self._peek()
        if not char:
            raise _LexError("unclosed action")
        if char in _SPACES:
            return self._lex_space()
        if char in _QUOTED:
            return self._lex_quoted(char)
        if char == "$" or (char == "." and not self._dot_is_number()):
            return self._lex_name(char)
        if char in "+-." or "0" <= char <= "9":
            return self._lex_number()
        if _alphanumeric(char):
            return self._lex_word()
        return self._lex_punctuation(char)

    def _dot_is_number(self) -> bool:
        """Go takes a dot that ends the template for one as well."""
        following = self._peek(1)
        return not following or "0" <= following <= "9"

    def _lex_punctuation(self, char: str) -> Token:
        self._position += 1
        if char == ":":
            if self._peek() != "=":
                raise _LexError("expected :=")
            self._position += 1
            return self._emit(Kind.DECLARE)
        if kind := _PUNCTUATION.get(char):
            self._parens += {"(": 1, ")": -1}.get(char, 0)
            if self._parens < 0:
                raise _LexError("unexpected right paren")
            return self._emit(kind)
        if char < "\x7f" and printable(char):
            return self._emit(Kind.CHAR)
        raise _LexError(f"unrecognized character in action: {_code_point(char)}")

    def _lex_space(self) -> Token:
        self._take(_BLANKS)
        if self._text.startswith("-}}", self._position):
            # The last blank belongs to the closing delimiter; a single one was seen before.
            self._position -= 1
        return self._emit(Kind.SPACE)

    def _lex_quoted(self, mark: str) -> Token:
        kind, complaint = _QUOTED_KINDS[mark]
        match = _QUOTED[mark].match(self._text, self._position)
        if match is None:
            raise _LexError(complaint)
        self._position = match.end()
        return self._emit(kind)

    def _at_terminator(self) -> bool:
        char = self._peek()
        return not char or char in " \t\r\n.,|:)(" or self._text.startswith("}}", self._position)

    def _take_word(self) -> None:
        self._take(_WORD)
        while self._peek() and _alphanumeric(self._peek()):
            self._position += 1
        if not self._at_terminator():
            raise _LexError(f"bad character {_code_point(self._peek())}")

    def _lex_name(self, mark: str) -> Token:
        """A field or a variable, or a lone dot or dollar sign."""
        self._position += 1
        if self._at_terminator():
            return self._emit(Kind.DOT if mark == "." else Kind.VARIABLE)
        self._take_word()
        return self._emit(Kind.FIELD if mark == "." else Kind.VARIABLE)

    def _lex_word(self) -> Token:
        self._take_word()
        word = self._text[self._start : self._position]
        if word in ("true", "false"):
            return self._emit(Kind.BOOL)
        return self._emit(KEYWORDS.get(word, Kind.IDENTIFIER))

    def _lex_number(self) -> Token:
        self._scan_number()
        if self._peek() in ("+", "-"):
            self._scan_number()
            if self._text[self._position - 1] != "i":
                self._bad_number()
            return self._emit(Kind.COMPLEX)
        return self._emit(Kind.NUMBER)

    def _scan_number(self) -> None:
        self._take(_SCAN_NUMBER)
        if self._peek() and _alphanumeric(self._peek()):
            self._position += 1
            self._bad_number()

    def _bad_number(self) -> None:
        literal = self._text[self._start : self._position]
        raise _LexError(f"bad number syntax: {quote(literal)}")
