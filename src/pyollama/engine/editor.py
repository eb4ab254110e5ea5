"""Carries out on the KV cache what the books say has been decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from pyollama.engine.backend import Backend, S
from pyollama.engine.edits import Edit, Eviction, Fetch, Park, Placement, Restore, Shift
from pyollama.engine.slot import Slot
from pyollama.engine.slots import Slots
from pyollama.engine.tier import Tier
from pyollama.errors import PyollamaError
from pyollama.types import ContextShifted, EngineEvent


class Editor(Generic[S]):
    """Belongs to the engine thread.

    The books are ahead of the cache by the edits that are being carried out. What cannot be
    restored is taken out of them; it belongs to a request that was placed by the same edits.
    """

    def __init__(
        self,
        backend: Backend[S],
        slots: Slots,
        emit: Callable[[EngineEvent], None],
        tier: Tier | None,
    ) -> None:
        self._backend = backend
        self._slots = slots
        self._emit = emit
        self._tier = tier
        self._lost: set[int] = set()

    def run(self) -> None:
        """Carry out what has gathered in the books."""
        self.carry_out(self._slots.take_edits())

    def carry_out(self, edits: list[Edit]) -> bool:
        """False if something could not be restored, so that a slot holds less than was planned."""
        self._lost.clear()
        for edit in edits:
            self._one(edit)
        return not self._lost

    def _one(self, edit: Edit) -> None:
        match edit:
            case Placement():
                self._place(edit)
            case Eviction(slot, tokens, adapters):
                if self._tier is not None:
                    self._tier.keep(slot.index, tokens, adapters)
                self._backend.trim(slot.index, 0)
            case Shift(owner, slot, keep, discard, length):
                self._backend.shift(slot.index, keep, discard, length)
                self._emit(ContextShifted(owner, keep, discard))
            case Park():
                self._park(edit)
            case Restore():
                self._restore(edit)
            case Fetch():
                self._fetch(edit)

    def _place(self, edit: Placement) -> None:
        slot, source = edit.slot, edit.source
        if source is None:
            self._backend.trim(slot.index, edit.reused)
            return
        if edit.held:
            self._backend.trim(slot.index, 0)
        if source.index in self._lost:
            self._lose(slot, 0)
        else:
            self._backend.copy(source.index, slot.index, edit.reused)

    def _park(self, edit: Park) -> None:
        index = edit.slot.index
        if edit.into is not None and index not in self._lost:
            try:
                edit.into.state = self._backend.save(index)
            except PyollamaError:
                edit.into.state = b""  # it will be computed again from its tokens
        self._backend.trim(index, 0)

    def _restore(self, edit: Restore) -> None:
        try:
            self._backend.restore(edit.slot.index, edit.parked.state)
        except PyollamaError:
            self._lose(edit.slot, 0)

    def _fetch(self, edit: Fetch) -> None:
        assert self._tier is not None  # nobody else could have planned this
        index, tokens = edit.slot.index, edit.tokens
        held = 0
        if index not in self._lost:
            held = self._tier.fetch(index, tokens, edit.start, edit.slot.adapters)
        if held < len(tokens):
            self._lose(edit.slot, held)

    def _lose(self, slot: Slot, held: int) -> None:
        self._lost.add(slot.index)
        self._slots.lose(slot, held)
