"""The guides of one model, where the work is done: compiling, taking tokens in, making masks."""

from __future__ import annotations

from collections import OrderedDict

from llguidance import LLExecutor, LLMatcher, LLParserLimits, LLTokenizer

from pyollama.engine.guidance.source import complaint, to_llguidance
from pyollama.engine.guidance.wire import Step, Stepped, row_bytes
from pyollama.types import Grammar

MOST_COMPILED = 64
"""How many grammars are kept compiled."""

LIMITS = LLParserLimits(max_lexer_states=50_000, verbose_errors=False)
"""A state of the lexer takes 1 to 2 kB; all other limits are the library's own: about 20 ms for
compiling the regular expressions of a grammar, and as much for one mask."""


class Matchers:
    """Guides by number. ``open`` may run beside ``step``, in another thread."""

    def __init__(self, tokenizer: LLTokenizer, threads: int) -> None:
        self._tokenizer = tokenizer
        self._executor = LLExecutor(threads)
        self.row_bytes = row_bytes(tokenizer.vocab_size)
        self._compiled: OrderedDict[Grammar, LLMatcher] = OrderedDict()
        self._running: dict[int, LLMatcher] = {}

    def open(self, number: int, grammar: Grammar) -> str:
        """Start a guide; returns what is wrong with the grammar, empty if nothing is."""
        compiled = self._compiled.pop(grammar, None)
        if compiled is None:
            try:
                compiled = self._compile(grammar)
            except BaseException as error:  # also what the library does not call an error itself
                return complaint(grammar, str(error))
        self._compiled[grammar] = compiled
        while len(self._compiled) > MOST_COMPILED:
            self._compiled.popitem(last=False)
        self._running[number] = compiled.deep_copy()
        return ""

    def step(self, step: Step, address: int, rows: int) -> Stepped:
        """``address`` is where the ``rows`` rows of masks are. See :class:`Step`."""
        for number in step.closed:
            self._running.pop(number, None)
        for number, token in step.accepted:
            self._running[number].consume_token(token)
        wanted = [(self._running[number], row) for number, row in step.wanted]
        if wanted:
            self._executor.unsafe_compute_mask_ptr(wanted, address, self.row_bytes, rows)
        failed: dict[int, str] = {}
        complete: list[int] = []
        for number, _ in step.wanted:
            matcher = self._running[number]
            if matcher.is_error():
                failed[number] = matcher.get_error().removesuffix("<non-verbose/>").strip()
            elif matcher.is_stopped():
                complete.append(number)
        return Stepped(failed, complete)

    def _compile(self, grammar: Grammar) -> LLMatcher:
        source = to_llguidance(grammar)
        matcher = LLMatcher(self._tokenizer, source, log_level=0, limits=LIMITS)
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher
