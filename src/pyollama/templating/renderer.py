"""Templates rendered elsewhere: what a request may cost, and what happens to the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from pyollama.chat.jinja import RenderedJinja
from pyollama.errors import EngineClosed, TemplateError
from pyollama.templating.child import Child, ChildGone
from pyollama.templating.wire import Source

SECONDS = 3.0
"""Processor time for one request, which gets more in proportion to its length."""

MEMORY = 384 << 20
"""Bytes for all requests in the process together."""


_TRIES = 3


class Renderer:
    """Runs templates in one process, which starts with the first of them.

    A request that takes too long ends the process, and the others are asked again in a new one.
    Where the process ends without a word nobody knows whose fault it was: then each request gets a
    process of its own, and may end with that.
    """

    def __init__(self, *, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._seconds = seconds
        self._memory = memory
        self._lock = threading.Lock()
        self._alone = threading.Lock()
        self._child: Child | None = None
        self._closed = False

    def render(self, source: Source, request: str) -> str:
        """Raises ``TemplateError`` and what else is wrong with the request."""
        for _ in range(_TRIES):
            try:
                return self._shared().render(source, request)
            except ChildGone as gone:
                if not gone.explained:
                    break
        with self._alone:
            return self._render_alone(source, request)

    def check(self, source: Source) -> None:
        """Raise ``TemplateError`` for a template that cannot be read."""
        self.render(source, "")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.close()

    def _shared(self) -> Child:
        with self._lock:
            if self._closed:
                raise EngineClosed("the server is closed")
            if self._child is None or not self._child.usable:
                self._child = Child(self._seconds, self._memory)
            return self._child

    def _render_alone(self, source: Source, request: str) -> str:
        child = Child(self._seconds, self._memory)
        try:
            return child.render(source, request)
        except ChildGone:
            raise TemplateError(
                "chat template: it ended the process that renders it",
                hint="it may be nested too deeply, or made to do harm",
            ) from None
        finally:
            child.close()


@dataclass(frozen=True, slots=True)
class SeparateTemplate:
    """A :class:`~pyollama.chat.jinja.JinjaTemplate` that runs in the other process.

    ``read`` makes something of what was rendered.
    """

    renderer: Renderer
    source: Source
    read: Callable[[str], RenderedJinja]

    def apply(self, request: str) -> RenderedJinja:
        return self.read(self.renderer.render(self.source, request))
