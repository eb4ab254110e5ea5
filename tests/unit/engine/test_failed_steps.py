"""Steps that fail: who ends, and that the answers of the others are those of a lone request."""

from __future__ import annotations

import pytest
from tests.unit.engine.simulated import SimulatedBackend
from tests.unit.engine.test_generator import SYSTEM, Bench, alone, request

from pyollama.errors import Aborted, NativeError


@pytest.mark.parametrize(("can_trim", "can_undo"), [(1, 1), (0, 1), (0, 0)])
def test_an_aborted_decode_is_run_again(can_trim: int, can_undo: int) -> None:
    backend = SimulatedBackend(can_trim=bool(can_trim), can_undo=bool(can_undo))
    bench = Bench(backend)
    backend.failures = [None, Aborted("now"), None, Aborted("now")]
    wanted = [request([n, *SYSTEM], str(n)) for n in (1, 2)]
    bench.run(*wanted)
    for each in wanted:
        assert bench.outcome(each.id) == alone(each, backend)


def test_a_failed_decode_ends_those_in_it_and_nothing_else() -> None:
    backend = SimulatedBackend(n_slots=2)
    bench = Bench(backend)
    backend.failures = [NativeError("broken")]
    bench.run(request([1, 2]), request([3, 4], "b"), request([1, 2], "c"))
    assert (bench.failure("a"), bench.failure("b")) == ("native_error", "native_error")
    assert bench.finished("c").usage.cached_tokens == 0


def test_an_answer_that_cannot_go_on_ends_alone() -> None:
    backend = SimulatedBackend()
    backend.fails_after = {2: 5}
    bench = Bench(backend)
    wanted = [request([n, *SYSTEM], str(n), max_tokens=12, ignore_eos=True) for n in (1, 2, 3)]
    bench.run(*wanted)
    assert bench.failure("2") == "invalid_grammar"
    for each in (wanted[0], wanted[2]):
        assert bench.outcome(each.id) == alone(each, backend)
    assert bench.generator.cells_used == backend.used
