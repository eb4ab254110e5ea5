"""What a server and the processes it has started use."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Use:
    """Resident and private bytes, and seconds of processor time since the process began."""

    role: str
    pid: int
    resident: int
    private: int
    cpu: float
    files: int
    threads: int


def family(pid: int) -> list[Use]:
    """The process and everything below it: the server first, then its workers."""
    server = psutil.Process(pid)
    members = [("server", server)]
    members += [("worker", child) for child in server.children(recursive=True)]
    return [use for role, process in members if (use := _use(role, process)) is not None]


def _use(role: str, process: psutil.Process) -> Use | None:
    try:
        memory = process.memory_full_info()
        times = process.cpu_times()
        return Use(
            role=role,
            pid=process.pid,
            resident=memory.rss,
            private=memory.uss,
            cpu=times.user + times.system,
            files=process.num_fds(),
            threads=process.num_threads(),
        )
    except psutil.NoSuchProcess:
        return None
