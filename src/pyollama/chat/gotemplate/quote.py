"""Go's notation for strings and characters: ``strconv.Quote`` and ``strconv.Unquote``.

Go strings are bytes. Here they are ``str`` in which a byte that is not UTF-8 stands as a lone
surrogate, as ``surrogateescape`` makes it.
"""

from __future__ import annotations

import re

_SHORT = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
}
_SIMPLE = {code[1]: char for char, code in _SHORT.items()}
_SPECIAL = re.compile(r"[^ !#-\[\]-~]")
_ESCAPE = re.compile(
    r"""\\(?:([abfnrtv\\'"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))"""
)


def to_bytes(text: str) -> bytes:
    """The bytes of a Go string; surrogates that stand for no byte become U+FFFD."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def from_bytes(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def clean(text: str) -> str:
    """``text`` as valid Unicode: what is not becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return to_bytes(text).decode("utf-8", "replace")
    return text


def printable(char: str) -> bool:
    """Go's ``unicode.IsPrint``: the only white space that counts is the blank."""
    return char.isprintable()


def _escaped(char: str, mark: str, ascii_only: bool) -> str:
    if char == mark:
        return "\\" + char
    if short := _SHORT.get(char):
        return short
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if printable(char) and not (ascii_only and code > 0x7E):
        return char
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quote(text: str, *, ascii_only: bool = False) -> str:
    """``text`` as a Go string literal."""
    return '"' + _SPECIAL.sub(lambda match: _escaped(match[0], '"', ascii_only), text) + '"'


def quote_char(code: int, *, ascii_only: bool = False) -> str:
    """A code point as a Go character literal."""
    return "'" + _escaped(chr(code), "'", ascii_only) + "'"


def can_backquote(text: str) -> bool:
    """Whether ``text`` may stand between back quotes."""
    return all(char == "\t" or _fits_backquotes(char) for char in text)


def _fits_backquotes(char: str) -> bool:
    return char >= " " and char not in "`\x7f\ufeff" and not "\ud800" <= char <= "\udfff"


def _unescape(body: str, mark: str) -> bytes:
    out = bytearray()
    position = 0
    while position < len(body):
        char = body[position]
        if char != "\\":
            if char == mark or char == "\n":
                raise ValueError("invalid syntax")
            end = body.find("\\", position)
            chunk = body[position : end if end >= 0 else len(body)]
            if mark in chunk or "\n" in chunk:
                raise ValueError("invalid syntax")
            out += to_bytes(chunk)
            position += len(chunk)
            continue
        match = _ESCAPE.match(body, position)
        if match is None:
            raise ValueError("invalid syntax")
        out += _escape_bytes(match, mark)
        position = match.end()
    return bytes(out)


def _escape_bytes(match: re.Match[str], mark: str) -> bytes:
    simple, octal, short_hex, *wide = match.groups()
    if simple:
        if simple in "'\"" and simple != mark:
            raise ValueError("invalid syntax")
        return _SIMPLE.get(simple, simple).encode()
    if octal or short_hex:
        code = int(octal, 8) if octal else int(short_hex, 16)
        if code > 0xFF:
            raise ValueError("invalid syntax")
        return bytes((code,))
    code = int(next(digits for digits in wide if digits), 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError("invalid syntax")
    return chr(code).encode()


def unquote(literal: str) -> str:
    """The string a literal stands for; ``ValueError`` if it is none."""
    if len(literal) < 2 or literal[0] != literal[-1]:
        raise ValueError("invalid syntax")
    body = literal[1:-1]
    if literal[0] == "`":
        return body.replace("\r", "")
    return from_bytes(_unescape(body, '"'))


def unquote_char(literal: str) -> int:
    """The code point a character literal stands for; ``ValueError`` if it is none."""
    body = literal[1:-1]
    if len(body) == 1 and body not in "\\'\n":
        return ord(body)
    match = _ESCAPE.match(body)
    if match is None:
        if not body or body[0] in "\\'\n":
            raise ValueError("invalid syntax")
        raise ValueError(f"malformed character constant: {literal}")
    data = _escape_bytes(match, "'")
    if match.end() != len(body):
        raise ValueError(f"malformed character constant: {literal}")
    is_byte = body[1] in "x01234567"
    return data[0] if is_byte else ord(data.decode())
