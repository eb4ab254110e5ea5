"""Answers that follow a grammar: opened with patience, then never waited for long."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING

from pyollama.engine.guidance.interface import Guide, Masks
from pyollama.engine.guidance.wire import ChildGone
from pyollama.errors import EngineClosed, EngineError, InvalidGrammar, PyollamaError
from pyollama.types import Grammar

if TYPE_CHECKING:
    from pyollama.engine.guidance.child import Child

COMPILE_SECONDS = 5.0
"""Processor time that a grammar may take to compile."""

MASK_SECONDS = 2.0
"""Processor time after which a step goes on without the answers whose masks it still waits for."""

MOST_REFUSED = 64

log = logging.getLogger(__name__)


class GrammarGuide:
    """See :class:`~pyollama.engine.guidance.interface.Guide`."""

    def __init__(self, child: Child, number: int) -> None:
        self.number = number
        self.row = -1
        self.error: PyollamaError | None = None
        self.complete = False
        self._child = child

    def begin(self) -> None:
        self._child.want(self)

    def accept(self, token: int) -> None:
        self._child.accept(self, token)
        self._child.want(self)

    def wait(self) -> None:
        self._child.flush()
        self._child.collect(MASK_SECONDS)
        if self.error is None and not self.mask.any():
            self.error = InvalidGrammar("no token of the model can continue as the grammar demands")

    @property
    def mask(self) -> Masks:
        mask: Masks = self._child.masks[self.row]
        return mask

    def close(self) -> None:
        self._child.drop(self)


class Guidance:
    """All guides of a loaded model. Its process starts with the first one, and takes a second.

    ``open`` and ``close`` may be called from any thread, the rest belongs to the engine's.
    """

    def __init__(self, path: str, n_vocab: int, threads: int) -> None:
        self._path = path
        self._n_vocab = n_vocab
        self._threads = threads
        self._numbers = 0
        self._queue: SimpleQueue[tuple[Grammar, Future[Guide]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._opener: threading.Thread | None = None
        self._closed = False
        self._children: list[Child] = []
        self._refused: dict[Grammar, str] = {}

    def open(self, grammar: Grammar) -> Future[Guide]:
        """A guide along ``grammar``; fails with ``InvalidGrammar`` if that cannot be used."""
        future: Future[Guide] = Future()
        with self._lock:
            if self._closed:
                raise EngineClosed("the engine is closed")
            if self._opener is None:
                self._opener = threading.Thread(target=self._run, name="guidance", daemon=True)
                self._opener.start()
            self._queue.put((grammar, future))
        return future

    def flush(self) -> None:
        """Have all masks made that are wanted, while the engine does something else."""
        for child in self._children:
            child.flush()

    def close(self) -> None:
        """End the processes; what is being opened ends with ``EngineClosed``."""
        with self._lock:
            self._closed = True
            for child in self._children:
                child.kill()
            self._queue.put(None)

    # --- in the opening thread --------------------------------------------------------------------

    def _run(self) -> None:
        while (asked := self._queue.get()) is not None:
            grammar, future = asked
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._open(grammar))
            except PyollamaError as error:
                closed = EngineClosed("the engine was closed")
                future.set_exception(closed if self._closed else error)
            except Exception as error:
                log.exception("a grammar could not be opened")
                future.set_exception(EngineError(f"guidance failed: {error!r}"))

    def _open(self, grammar: Grammar) -> GrammarGuide:
        if grammar in self._refused:
            raise InvalidGrammar(self._refused[grammar], field="format")
        child = self._usable_child()
        self._numbers += 1
        guide = GrammarGuide(child, self._numbers)
        try:
            error = child.open(guide, grammar, COMPILE_SECONDS)
        except TimeoutError:
            child.retire()
            error = f"the grammar took more than {COMPILE_SECONDS:g} s to compile"
            self._refuse(grammar, error)
        except ChildGone:
            child.retire()
            error = "the grammar ended the process that compiles it; it may need too much memory"
            self._refuse(grammar, error)
        if error:
            raise InvalidGrammar(error, field="format")
        return guide

    def _usable_child(self) -> Child:
        from pyollama.engine.guidance.child import Child  # most models never need it

        with self._lock:
            if self._closed:
                raise EngineClosed("the engine was closed")
            self._children = [child for child in self._children if child.alive]
            for child in self._children:
                if child.usable:
                    return child
            child = Child(self._path, self._n_vocab, self._threads)
            self._children = [*self._children, child]
            return child

    def _refuse(self, grammar: Grammar, why: str) -> None:
        """What broke a process once is not tried again."""
        while len(self._refused) >= MOST_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[grammar] = why
