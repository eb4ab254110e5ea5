"""What the process that reads somebody's model files may not do.

The files are weights, JSON and texts, but the libraries that read them can load code that such
files name, download, and take other files of this machine for parts of the model. So before
anything is read, this process gives that up: an audit hook cannot be taken off again.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Collection

_FORBIDDEN = {
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "os.link",
    "os.symlink",
    "pickle.find_class",
}
_SYSTEM = (
    *("/dev/null", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/proc/self/status"),
    *("/sys", "/usr/lib", "/usr/share"),
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def enter(
    max_bytes: int, *, readable: Collection[str] = (), writable: Collection[str] = ()
) -> None:
    """No network, no other programs, no pickled code; neither a file nor memory above the limit.

    Files that Python opens have to lie in the folders ``readable``, or be or lie in ``writable``;
    the libraries themselves can be read.
    """
    for kind, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, max_bytes),
        (resource.RLIMIT_DATA, max_bytes),
    ):
        resource.setrlimit(kind, (limit, limit))
    libraries = [sys.prefix, sys.base_prefix, *filter(None, sys.path)]
    read = _within(*_SYSTEM, *libraries, *readable, *writable)
    sys.addaudithook(_hook(read, _within("/dev/null", *writable)))


def _within(*places: str) -> Callable[[str], bool]:
    whole = {os.path.abspath(place) for place in places}  # noqa: PTH100 - no look at the disk
    beginnings = tuple(f"{place}/" for place in whole)
    return lambda path: path in whole or path.startswith(beginnings)


def _hook(
    may_read: Callable[[str], bool], may_write: Callable[[str], bool]
) -> Callable[[str, tuple[object, ...]], None]:
    def check(event: str, args: tuple[object, ...]) -> None:
        if event in _FORBIDDEN:
            raise PermissionError(f"reading a model does not need {event}")
        if event == "open" and not isinstance(args[0], int):
            path = os.path.abspath(os.fsdecode(args[0]))  # type: ignore[arg-type] # noqa: PTH100
            writes = isinstance(args[2], int) and args[2] & _WRITING
            if not (may_write if writes else may_read)(path):
                raise PermissionError(f"{path} is no part of the model")

    return check
