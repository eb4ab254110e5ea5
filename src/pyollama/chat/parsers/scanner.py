"""Reading small notations from the left."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

MAX_DEPTH = 50


class NotThisNotation(Exception):
    """The text is not what the reader expects."""


class Scanner:
    """A place in a text; a method that does not find what it wants raises."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    @property
    def rest(self) -> str:
        return self.text[self.at :]

    def space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def sees(self, mark: str) -> bool:
        """Takes ``mark`` if it is next."""
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def take(self, mark: str) -> None:
        if not self.sees(mark):
            raise NotThisNotation(mark)

    def until(self, marks: str) -> str:
        """The text before the first character of ``marks``, or all of it."""
        begin = self.at
        while self.at < len(self.text) and self.text[self.at] not in marks:
            self.at += 1
        return self.text[begin : self.at]

    def before(self, mark: str) -> str:
        """The text before ``mark``, which is taken too."""
        end = self.text.find(mark, self.at)
        if end < 0:
            raise NotThisNotation(mark)
        text, self.at = self.text[self.at : end], end + len(mark)
        return text

    def items(self, closing: str) -> Iterator[None]:
        """Stops at each item of a list with commas, whose opening bracket was taken."""
        self.space()
        while not self.sees(closing):
            yield
            self.space()
            if not self.sees(","):
                self.take(closing)
                return
            self.space()


def literal(word: str) -> object:
    """A number or constant as JSON or Python write it, or else the word itself."""
    constants = {"True": True, "False": False, "None": None}
    if word in constants:
        return constants[word]
    try:
        return msgspec.json.decode(word)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return word
