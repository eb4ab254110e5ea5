from __future__ import annotations

from pyollama.types import EngineStats
from pyollama.worker.health import Health, WorkerLimits

LIMITS = WorkerLimits(stopped_after=2, hung_after=30, stuck_after=100)


def stats(steps: int, running: int = 1) -> EngineStats:
    return EngineStats(waiting=0, running=running, slots=4, cells_used=0, cells=0, steps=steps)


def test_a_stopped_process_is_given_up_after_two_seconds() -> None:
    health = Health(LIMITS)
    suspicious = []
    for _ in range(2):
        assert health.verdict(stopped=True) == ""
        health.beat(1)
        suspicious.append(health.suspicious)
    assert suspicious == [False, True]
    assert health.verdict(stopped=True) == "is stopped"
    assert health.verdict(stopped=False) == ""


def test_a_load_may_be_silent_but_not_stopped() -> None:
    health = Health(LIMITS)
    for _ in range(200):
        health.beat(1)
    assert health.verdict(stopped=False, loading=True) == ""
    assert health.verdict(stopped=True, loading=True) == "is stopped"


def test_silence_counts_from_the_last_word() -> None:
    health = Health(LIMITS)
    for _ in range(29):
        health.beat(1)
    assert health.verdict(stopped=False) == ""
    health.heard()
    for _ in range(29):
        health.beat(1)
    assert health.verdict(stopped=False) == ""
    health.beat(1)
    assert health.verdict(stopped=False) == "has not answered for 30 s"


def test_an_engine_without_steps_is_stuck_only_while_it_has_work() -> None:
    health = Health(LIMITS)
    for running in (1, 0):
        for _ in range(101):
            health.beat(1)
            health.heard()
            health.answered(stats(5, running))
        stuck = health.verdict(stopped=False)
        assert stuck == ("has computed one step for 100 s" if running else "")


def test_progress_is_not_stuck() -> None:
    health = Health(LIMITS)
    for step in range(300):
        health.beat(1)
        health.heard()
        health.answered(stats(step // 50))
        assert health.verdict(stopped=False) == ""
