"""Modelfiles: the text from which a model is created, read and written.

A line is ``INSTRUCTION value``. A value in double quotes, or in three of them, may run over several
lines; it ends where a line ends on the closing quotes, so quotes inside need no escape, and there
is none.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pyollama.errors import InvalidRequest
from pyollama.store.parameters import DEPRECATED, Value, read_parameters

INSTRUCTIONS = (
    "from",
    "license",
    "template",
    "system",
    "adapter",
    "draft",
    "renderer",
    "parser",
    "parameter",
    "message",
    "requires",
)
ROLES = ("system", "user", "assistant")

_BETWEEN = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)*")
_BLANKS = re.compile(r"[ \t]*")
_WORD = re.compile(r"[A-Za-z]*")
_KEY = re.compile(r"[A-Za-z0-9_]*")
_LINE = re.compile(r"[^\r\n]*")
_NEXT_LINE = re.compile(r"[\r\n][^\r\n]*")
_SEMVER = re.compile(r"v?(0|[1-9]\d*)(\.(0|[1-9]\d*)){0,2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_MAX_BYTES = 64 << 20
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"))
_ENCODINGS = (*_BOMS, (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Instruction:
    """``name`` is in lower case; ``key`` is the name of a parameter or the role of a message."""

    name: str
    value: str
    key: str = ""
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Modelfile:
    """The instructions of a Modelfile, in order."""

    instructions: tuple[Instruction, ...]

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(item.value for item in self.instructions if item.name == name)

    def last(self, name: str) -> str:
        """The value that counts when an instruction is given several times, or an empty text."""
        return next(reversed(self.all(name)), "")

    @property
    def sources(self) -> tuple[str, ...]:
        """Models or files to start from; there is at least one."""
        return self.all("from")

    @property
    def parameters(self) -> dict[str, Value]:
        """Typed values; the hint of an :class:`InvalidRequest` names the line."""
        for item in self.instructions:
            if item.name == "parameter":
                _check_parameter(item)
        return read_parameters(self._pairs("parameter"))

    @property
    def deprecated_parameters(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self._pairs("parameter") if name in DEPRECATED)

    @property
    def requires(self) -> str:
        """The version that the model asks for, without a leading ``v``."""
        version = self.last("requires")
        if version and not _SEMVER.fullmatch(version):
            raise InvalidRequest("requires must be a valid semver (e.g. 0.14.0)", field="requires")
        return version.removeprefix("v")

    @property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """Role and text of each message."""
        return self._pairs("message")

    def _pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        return tuple((item.key, item.value) for item in self.instructions if item.name == name)


def parse_modelfile(data: bytes | str) -> Modelfile:
    """The Modelfile in ``data``; an :class:`InvalidRequest` names the line of an error."""
    text = data if isinstance(data, str) else _decode(data)
    instructions = tuple(_Scanner(text.removeprefix("\ufeff")).instructions())
    if not any(item.name == "from" and item.value for item in instructions):
        raise InvalidRequest("no FROM line")
    return Modelfile(instructions)


def format_modelfile(instructions: Sequence[Instruction]) -> str:
    """Text that reads as ``instructions``, one to a line."""
    return "".join(
        f"{' '.join(filter(None, (item.name.upper(), item.key)))} {quote(item.value)}\n"
        for item in instructions
    )


def quote(value: str) -> str:
    """``value`` bare if possible, else in one or three double quotes.

    A value that none of these can hold (three quotes at a line's end, and others) is given in
    three quotes all the same.
    """
    if "\n" in value or "\r" in value or value != value.strip():
        forms = [f'"{value}"', f'"""{value}"""']
        if '"' in value:
            forms.reverse()
    else:
        forms = [value, f'"""{value}"""', f'"{value}"']
    return next((form for form in forms if _reads_as(form, value)), f'"""{value}"""')


def _reads_as(form: str, value: str) -> bool:
    scanner = _Scanner(form + "\n")
    try:
        return scanner.value() == value and scanner.position == len(form)
    except InvalidRequest:
        return False


def _decode(data: bytes) -> str:
    if len(data) > _MAX_BYTES:
        raise InvalidRequest(f"Modelfile is longer than {_MAX_BYTES} bytes")
    for mark, encoding in _ENCODINGS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace")
    return data.decode(errors="replace")


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self._line = 1

    def instructions(self) -> Iterator[Instruction]:
        self._match(_BETWEEN)
        while self.position < len(self.text):
            yield self._instruction()
            self._match(_BETWEEN)

    def _instruction(self) -> Instruction:
        line = self._line
        name = self._match(_WORD).lower()
        if name not in INSTRUCTIONS or not self._at_blank():
            raise _error(line, f"command must be one of {_listed(INSTRUCTIONS)}")
        key = ""
        if name in ("parameter", "message"):
            self._match(_BLANKS)
            key = self._match(_KEY)
            if name == "message" and key not in ROLES:
                raise _error(line, f"message role must be one of {_listed(ROLES)}")
            if not self._at_blank():
                hint = f"line {line} needs a name of letters, digits and _, a blank and a value"
                raise InvalidRequest(f"unexpected EOF: {key}", hint=hint, line=line)
        return Instruction(name, self.value(), key, line)

    def value(self) -> str:
        """The value that begins here, without its quotes; it ends where a line ends."""
        line = self._line
        lines = [self._match(_LINE).lstrip()]
        marks = next((marks for marks in ('"""', '"') if lines[0].startswith(marks)), "")
        before, end = 0, lines[0].rstrip()
        while not end.endswith(marks) or before + len(end) < 2 * len(marks):
            if self.position == len(self.text):
                hint = f"the quotes that begin in line {line} are never closed"
                raise InvalidRequest("unexpected EOF", hint=hint, line=line)
            before += len(lines[-1])
            lines.append(self._match(_NEXT_LINE))
            end = lines[-1].rstrip()
        whole = "".join(lines).rstrip()
        return whole[len(marks) : len(whole) - len(marks)]

    def _at_blank(self) -> bool:
        return self.text[self.position : self.position + 1] in (" ", "\t")

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.position)
        text = found[0] if found else ""
        self._line += text.count("\n")
        self.position += len(text)
        return text


def _check_parameter(item: Instruction) -> None:
    try:
        read_parameters([(item.key, item.value)])
    except InvalidRequest as error:
        hint = f"line {item.line} sets {item.key}"
        raise InvalidRequest(error.message, hint=hint, line=item.line) from error


def _error(line: int, message: str) -> InvalidRequest:
    return InvalidRequest(f"(line {line}): {message}", line=line)


def _listed(words: tuple[str, ...]) -> str:
    quoted = [f'"{word}"' for word in words]
    return f"{', '.join(quoted[:-1])}, or {quoted[-1]}"
