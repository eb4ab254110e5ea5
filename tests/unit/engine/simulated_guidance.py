"""Guidance without a process: a grammar is a list of tokens, separated by spaces."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np

from pyollama.engine.guidance.interface import Guide, Masks
from pyollama.errors import InvalidGrammar, PyollamaError
from pyollama.types import Grammar

BROKEN = "broken"
"""In place of a token: the grammar cannot be followed from there on."""


class SimulatedGuide:
    """Checks that masks are asked for and flushed before anybody waits for them."""

    def __init__(self, end: int, text: list[str]) -> None:
        self._end = end
        self._left = text
        self.asked = self.flushed = False
        self.error: PyollamaError | None = None
        self.complete = False
        self.closed = False

    def begin(self) -> None:
        self._ask()

    def accept(self, token: int) -> None:
        assert self._left and int(self._left.pop(0)) == token
        self._ask()

    def _ask(self) -> None:
        assert not self.asked and not self.closed
        self.asked = True

    def wait(self) -> None:
        assert self.flushed or not self.asked
        self.asked = False
        if self._left and self._left[0] == BROKEN:
            self.error = InvalidGrammar("the grammar could not be followed")
        self.complete = not self._left

    @property
    def mask(self) -> Masks:
        assert not self.asked and self.error is None
        token = int(self._left[0]) if self._left else self._end
        mask = np.zeros(2, np.uint32)
        mask[token // 32] = 1 << token % 32
        return mask

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class SimulatedGuidance:
    """With ``hold`` grammars are not opened before :meth:`release`."""

    def __init__(self, end: int) -> None:
        self._end = end
        self.guides: list[SimulatedGuide] = []
        self.hold = False
        self._held: list[tuple[Grammar, Future[Guide]]] = []

    def open(self, grammar: Grammar) -> Future[Guide]:
        future: Future[Guide] = Future()
        self._held.append((grammar, future))
        if not self.hold:
            self.release()
        return future

    def release(self) -> None:
        for grammar, future in self._held:
            tokens = grammar.text.split()
            if all(token == BROKEN or token.isdecimal() for token in tokens):
                self.guides.append(SimulatedGuide(self._end, tokens))
                future.set_result(self.guides[-1])
            else:
                future.set_exception(InvalidGrammar(grammar.text))
        self._held.clear()

    def flush(self) -> None:
        for guide in self.guides:
            guide.flushed = True
