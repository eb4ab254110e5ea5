"""Is a worker still of use? A pure judgement on what was heard from it."""

from __future__ import annotations

from dataclasses import dataclass

from pyollama.types import EngineStats


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How long a worker may take for what, in seconds.

    ``busy_ping`` and ``idle_ping`` are the heartbeats with and without running requests.
    ``stopped_after`` applies to a process that was stopped by a signal, ``hung_after`` to one
    that runs but does not answer, ``stuck_after`` to one that answers but whose engine makes no
    step, and ``load_timeout`` to a load without progress (<= 0: no limit).
    """

    busy_ping: float = 0.5
    idle_ping: float = 5.0
    stopped_after: float = 2.0
    hung_after: float = 30.0
    stuck_after: float = 600.0
    load_timeout: float = 300.0
    close_timeout: float = 10.0


DEFAULT_LIMITS = WorkerLimits()


class Health:
    """Counts heartbeats, not wall time, so that a pause of the server itself blames no worker."""

    def __init__(self, limits: WorkerLimits) -> None:
        self._limits = limits
        self._silent = 0.0
        self._stuck = 0.0
        self._steps = -1

    def heard(self) -> None:
        """Anything arrived."""
        self._silent = 0.0

    def answered(self, stats: EngineStats) -> None:
        """A ping was answered with ``stats``."""
        busy = stats.running + stats.waiting > 0
        if not busy or stats.steps != self._steps:
            self._stuck = 0.0
        self._steps = stats.steps

    def beat(self, interval: float) -> None:
        """One more heartbeat passed, ``interval`` seconds after the last."""
        self._silent += interval
        self._stuck += interval

    @property
    def suspicious(self) -> bool:
        """Quiet for so long that it is worth asking the system for the process's state."""
        return self._silent >= self._limits.stopped_after

    def verdict(self, *, stopped: bool, loading: bool = False) -> str:
        """Why the worker must go, empty if it may stay. A load has its own limit."""
        if stopped and self.suspicious:
            return "is stopped"
        if loading:
            return ""
        if self._silent >= self._limits.hung_after:
            return f"has not answered for {self._silent:g} s"
        if self._stuck >= self._limits.stuck_after:
            return f"has computed one step for {self._stuck:g} s"
        return ""
