from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pyollama.engine.cells import Cells

sequences = st.integers(0, 3)
lengths = st.integers(0, 6)


class AgainstObjects(RuleBasedStateMachine):
    """The books say what counting real cells would say."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = Cells(1000)
        self.held: dict[int, list[object]] = {n: [] for n in range(4)}

    @rule(sequence=sequences, count=lengths)
    def extend(self, sequence: int, count: int) -> None:
        self.cells.extend(sequence, count)
        self.held[sequence] += [object() for _ in range(count)]

    @rule(pair=st.tuples(sequences, sequences), length=st.integers(0, 20))
    def share(self, pair: tuple[int, int], length: int) -> None:
        source, target = pair
        length = min(length, len(self.held[source]))
        if source != target:
            self.cells.trim(target, 0)
            self.cells.share(source, target, length)
            self.held[target] = self.held[source][:length]

    @rule(sequence=sequences, length=st.integers(0, 20))
    def trim(self, sequence: int, length: int) -> None:
        self.cells.trim(sequence, length)
        del self.held[sequence][length:]

    @rule(sequence=sequences)
    def separate(self, sequence: int) -> None:
        self.cells.separate(sequence)
        self.held[sequence] = [object() for _ in self.held[sequence]]

    @rule(parts=st.lists(st.tuples(sequences, st.integers(0, 20)), max_size=4))
    def ask_who_owns(self, parts: list[tuple[int, int]]) -> None:
        owned = {cell for sequence, length in parts for cell in self.held[sequence][:length]}
        assert self.cells.owned(parts) == len(owned)

    @invariant()
    def counts_the_same(self) -> None:
        everything = {cell for held in self.held.values() for cell in held}
        assert self.cells.used == len(everything)
        assert self.cells.free == 1000 - len(everything)
        for sequence, held in self.held.items():
            others = {
                cell for other, cells in self.held.items() if other != sequence for cell in cells
            }
            assert self.cells.length(sequence) == len(held)
            assert self.cells.shared(sequence) == sum(cell in others for cell in held)
            assert self.cells.alone(sequence) == sum(cell not in others for cell in held)


TestAgainstObjects = AgainstObjects.TestCase
TestAgainstObjects.settings = settings(max_examples=40, stateful_step_count=30)
