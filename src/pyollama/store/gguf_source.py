"""Bounded reading of a file from front to back, for the GGUF header."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import IO

import numpy as np

from pyollama.errors import InvalidGGUF

_WINDOW = 1 << 20
# Texts are skipped many at once in windows that grow while that works. Where it fails, they are
# skipped one by one, in stretches that grow until it works again.
_SMALL = 1 << 12
_WORTHWHILE = 64
_LONG = 1 << 12
_PER_TEXT = 64


class Source:
    """A file of ``size`` bytes with a position that only moves on, in the byte order ``order``.

    The file is read in pieces rather than mapped: a mapping of a file that another process cuts
    short ends in a bus error.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self.size = size
        self.order = "<"
        self.position = 0
        self._window = b""
        self._start = 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        begin = self._ready(count)
        self.position += count
        return self._window[begin : begin + count]

    def skip(self, count: int) -> None:
        self._check(count)
        self.position += count

    def numbers(self, layout: str) -> tuple[int, ...]:
        """The next values, in the notation of the struct module."""
        form = _compiled(self.order + layout)
        begin = self._ready(form.size)
        self.position += form.size
        return form.unpack_from(self._window, begin)

    def integer(self, layout: str) -> int:
        return self.numbers(layout)[0]

    def real(self, layout: str) -> float:
        return self.numbers(layout)[0]

    def skip_texts(self, count: int, length_layout: str, limit: int) -> None:
        """Skip ``count`` texts, each after its length, none longer than ``limit`` bytes."""
        window, stretch = _SMALL, 16
        while count > 0:
            done = self._skip_short_texts(count, window) if length_layout == "Q" else 0
            count -= done
            if done >= _WORTHWHILE:
                window, stretch = min(2 * window, _WINDOW), 16
                continue
            count -= self._skip_one_by_one(min(count, stretch), length_layout, limit)
            window, stretch = _SMALL, min(2 * stretch, _LONG)

    def _skip_one_by_one(self, count: int, length_layout: str, limit: int) -> int:
        """Skip as many texts as lie in a piece of the file, at least one, at most ``count``."""
        form = _compiled(self.order + length_layout)
        wanted = max(form.size, min(_PER_TEXT * count, _WINDOW, self.size - self.position))
        begin = position = self._ready(wanted)
        last, done = begin + wanted - form.size, 0
        while done < count and position <= last:
            (length,) = form.unpack_from(self._window, position)
            if length > limit:
                raise InvalidGGUF(f"GGUF claims {length} bytes for a text")
            position += form.size + length
            done += 1
        self.skip(position - begin)
        return done

    def _skip_short_texts(self, count: int, window_size: int) -> int:
        """Skip as many texts as can be told apart at once, at most ``count``; how many.

        A length below 256 has seven zero bytes, which texts normally have not. So the places of
        such lengths are looked for all together, and then each is checked to lie exactly where
        the one before it ends. What passes is certain; what does not is left to the caller.
        """
        wanted = min(window_size, self.size - self.position)
        begin = self._ready(wanted)
        window = np.frombuffer(self._window, np.uint8, wanted, begin)
        zero = window == 0
        if len(zero) < 16:
            return 0
        pairs = zero[:-1] & zero[1:]
        fours = pairs[:-2] & pairs[2:]
        sevens = np.flatnonzero(fours[:-3] & fours[3:])
        if self.order == "<":
            places = sevens[sevens > 0] - 1
            lengths = window[places]
        else:
            places = sevens[sevens + 7 < len(window)]
            lengths = window[places + 7]
        if len(places) < 2 or places[0] != 0:
            return 0
        fits = places[1:] == places[:-1] + 8 + lengths[:-1]
        certain = len(fits) if fits.all() else int(np.argmin(fits))
        done = min(certain, count)
        self.position += int(places[done])
        return done

    def _check(self, count: int) -> None:
        if count > self.size - self.position:
            raise InvalidGGUF(
                f"GGUF ends too early: {count} bytes expected at {self.position} of {self.size}"
            )

    def _ready(self, count: int) -> int:
        """Where in the window the next ``count`` bytes begin, all of them there."""
        self._check(count)
        begin = self.position - self._start
        if begin + count > len(self._window):
            self._file.seek(self.position)
            self._window = self._file.read(max(count, _WINDOW))
            self._start = self.position
            begin = 0
            if count > len(self._window):
                raise InvalidGGUF("GGUF was cut short while it was read")
        return begin


@lru_cache(maxsize=64)
def _compiled(layout: str) -> struct.Struct:
    return struct.Struct(layout)
