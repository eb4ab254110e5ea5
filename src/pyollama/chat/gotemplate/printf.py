"""Go's ``printf``: directives, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Sequence

from pyollama.chat.gotemplate.fmt import Flags, format_value, show
from pyollama.chat.gotemplate.values import is_nil, type_name

_MAX_NUMBER = 1_000_000  # width or precision


def sprintf(template: str, values: Sequence[object]) -> str:
    return _Printf(template, values).run()


class _Printf:
    def __init__(self, template: str, values: Sequence[object]) -> None:
        self._template = template
        self._values = values
        self._position = 0
        self._argument = 0
        self._reordered = False
        self._index_is_good = True
        self._out: list[str] = []

    def run(self) -> str:
        while True:
            percent = self._template.find("%", self._position)
            if percent < 0:
                break
            self._out.append(self._template[self._position : percent])
            self._position = percent + 1
            if not self._directive():
                return self._finish()
        self._out.append(self._template[self._position :])
        return self._finish()

    def _finish(self) -> str:
        extra = self._values[self._argument :]
        if extra and not self._reordered:
            shown = ("<nil>" if is_nil(v) else f"{type_name(v)}={show(v)}" for v in extra)
            self._out.append(f"%!(EXTRA {', '.join(shown)})")
        return "".join(self._out)

    def _peek(self) -> str:
        return self._template[self._position : self._position + 1]

    def _directive(self) -> bool:
        """One directive; False if the template ended inside of it."""
        flags = self._flags()
        self._index_is_good = True
        after_index = self._index()
        after_index = self._width(flags, after_index)
        if self._peek() == "." and self._position + 1 < len(self._template):
            after_index = self._precision(flags, after_index)
        if not after_index:
            self._index()
        verb = self._peek()
        if not verb:
            self._out.append("%!(NOVERB)")
            return False
        self._position += 1
        self._verb(verb, flags)
        return True

    def _verb(self, verb: str, flags: Flags) -> None:
        if verb == "%":
            self._out.append("%")
        elif not self._index_is_good:
            self._out.append(f"%!{verb}(BADINDEX)")
        elif self._argument >= len(self._values):
            self._out.append(f"%!{verb}(MISSING)")
        else:
            if verb in "vw":
                flags.go_syntax, flags.sharp = flags.sharp, False
                flags.field_names, flags.plus = flags.plus, False
            self._out.append(format_value(self._values[self._argument], verb, flags))
            self._argument += 1

    def _flags(self) -> Flags:
        flags = Flags()
        names = {"#": "sharp", "0": "zero", "+": "plus", "-": "minus", " ": "space"}
        while name := names.get(self._peek()):
            setattr(flags, name, True)
            self._position += 1
        return flags

    def _number(self) -> int | None:
        start = self._position
        while "0" <= self._peek() <= "9":
            self._position += 1
        digits = self._template[start : self._position]
        if not digits:
            return None
        if len(digits) > 7 or int(digits) > _MAX_NUMBER:
            self._position = len(self._template)  # Go gives up on the rest as well
            return None
        return int(digits)

    def _star(self) -> int | None:
        """A width or precision taken from the arguments."""
        if self._argument >= len(self._values):
            return None
        value = self._values[self._argument]
        self._argument += 1
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _MAX_NUMBER:
            return None
        return value

    def _width(self, flags: Flags, after_index: bool) -> bool:
        if self._peek() != "*":
            flags.width = self._number()
            if after_index and flags.width is not None:
                self._index_is_good = False
            return after_index
        self._position += 1
        flags.width = self._star()
        if flags.width is None:
            self._out.append("%!(BADWIDTH)")
        elif flags.width < 0:
            flags.width, flags.minus, flags.zero = -flags.width, True, False
        return False

    def _precision(self, flags: Flags, after_index: bool) -> bool:
        self._position += 1
        if after_index:
            self._index_is_good = False
        after_index = self._index()
        if self._peek() != "*":
            number = self._number()
            flags.precision = 0 if number is None else number
            return after_index
        self._position += 1
        number = self._star()
        flags.precision = None if number is None or number < 0 else number
        if flags.precision is None:
            self._out.append("%!(BADPREC)")
        return False

    def _index(self) -> bool:
        """An explicit argument index such as ``[2]``."""
        if self._peek() != "[":
            return False
        self._reordered = True
        end = self._template.find("]", self._position)
        digits = self._template[self._position + 1 : end] if end >= 0 else ""
        self._position = end + 1 if end >= 0 else self._position + 1
        number = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 7 else 0
        if not 1 <= number <= len(self._values):
            self._index_is_good = False
            return end >= 0
        self._argument = number - 1
        return True
