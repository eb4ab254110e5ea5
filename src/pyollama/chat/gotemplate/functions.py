"""The functions every template may call."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote_plus

from pyollama.chat.gotemplate.compare import equal, less, less_or_equal
from pyollama.chat.gotemplate.fmt import sprint, sprintln
from pyollama.chat.gotemplate.printf import sprintf
from pyollama.chat.gotemplate.quote import printable, to_bytes
from pyollama.chat.gotemplate.values import (
    FunctionError,
    index,
    is_nil,
    is_true,
    length,
    slice_value,
    type_name,
)


@dataclass(frozen=True, slots=True)
class Function:
    """A function and the arguments it takes; ``maximum`` ``None`` means any number.

    The first ``strings`` arguments must be strings. ``call`` raises ``FunctionError``.
    """

    call: Callable[..., object]
    minimum: int
    maximum: int | None
    strings: int = 0


_HTML = str.maketrans(
    {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
)
_JS = {char: f"\\{char}" for char in "\\'\""}
_JS_SPECIAL = re.compile(r"[\x00-\x1f\\'\"<>&=]|[^\x00-\x7f]")
_JS |= {char: f"\\u00{ord(char):02X}" for char in "<>&="}


def _text(values: tuple[object, ...]) -> str:
    return sprint(["<no value>" if is_nil(value) else value for value in values])


def _html(*values: object) -> str:
    return _text(values).translate(_HTML)


def _js(*values: object) -> str:
    return _JS_SPECIAL.sub(_js_escaped, _text(values))


def _js_escaped(match: re.Match[str]) -> str:
    char = match[0]
    if escaped := _JS.get(char):
        return escaped
    if char > "\x7f" and printable(char):
        return char
    code = ord(char)
    return f"\\u{0xFFFD if 0xD800 <= code <= 0xDFFF else code:04X}"


def _urlquery(*values: object) -> str:
    return quote_plus(to_bytes(_text(values)), safe="")


def _printf(template: str, *values: object) -> str:
    return sprintf(template, values)


def _call(name: object, function: object, *_: object) -> NoReturn:
    """There are no functions among the values, so this can only complain."""
    if is_nil(function):
        raise FunctionError("call of nil")
    raise FunctionError(f"non-function {name} of type {type_name(function)}")


BUILTINS: Mapping[str, Function] = {
    # The executor treats three of them by itself: "and" and "or" evaluate no more arguments than
    # they need, "call" wants the name of what it calls.
    "and": Function(is_true, 1, None),
    "or": Function(is_true, 1, None),
    "not": Function(lambda value: not is_true(value), 1, 1),
    "eq": Function(equal, 1, None),
    "ne": Function(lambda left, right: not equal(left, right), 2, 2),
    "lt": Function(less, 2, 2),
    "le": Function(less_or_equal, 2, 2),
    "gt": Function(lambda left, right: not less_or_equal(left, right), 2, 2),
    "ge": Function(lambda left, right: not less(left, right), 2, 2),
    "index": Function(index, 1, None),
    "slice": Function(slice_value, 1, None),
    "len": Function(length, 1, 1),
    "print": Function(lambda *values: sprint(values), 0, None),
    "println": Function(lambda *values: sprintln(values), 0, None),
    "printf": Function(_printf, 1, None, strings=1),
    "html": Function(_html, 0, None),
    "js": Function(_js, 0, None),
    "urlquery": Function(_urlquery, 0, None),
    "call": Function(_call, 1, None),
}
