"""Word wrap for text that arrives in pieces on a terminal."""

from __future__ import annotations

from rich.cells import cell_len

_MARGIN = 5
_LONGEST_WORD_MARGIN = 10


class WordWrap:
    """Breaks lines before the word that would run over ``width - 5`` columns.

    A word is written as it arrives, so it may have begun on a line that turns out too short: then
    the cursor goes back over it, clears, and the word is written again on the next line. Wide
    characters (two columns) end a word, as a line may break between any two of them.
    """

    def __init__(self, width: int) -> None:
        self.resize(width)
        self._column = 0
        self._word = ""

    def resize(self, width: int) -> None:
        """Go on with another width, from what comes next."""
        self._limit = max(width - _MARGIN, 1)
        self._longest_word = max(width - _LONGEST_WORD_MARGIN, 1)

    def feed(self, text: str) -> str:
        """``text`` as it is to be written to the terminal."""
        return "".join(self._place(char) for char in text)

    def _place(self, char: str) -> str:
        if char == "\n":
            self._column, self._word = 0, ""
            return char
        columns = cell_len(char)
        breaks = self._break() if self._column + columns > self._limit and char != " " else ""
        self._column += columns
        self._word = "" if char == " " or columns == 2 else self._word + char
        return breaks + char

    def _break(self) -> str:
        word, columns = self._word, cell_len(self._word)
        if columns > self._longest_word or columns == self._column or not word:
            # Nothing that could move down, or a word too long for any line: break where we are.
            self._column, self._word = 0, ""
            return "\n"
        self._column = columns
        return f"\x1b[{columns}D\x1b[K\n{word}"
