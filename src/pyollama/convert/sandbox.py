"""What the process that reads somebody's model files may not do.

The files are weights, JSON and texts, but the libraries that read them can load code that such
files name, and download. So before anything is read, this process gives that up: an audit hook
cannot be taken off again.
"""

from __future__ import annotations

import resource
import sys

_FORBIDDEN = (
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
    "pickle.find_class",
)


def enter(max_bytes: int) -> None:
    """No network, no other programs, no pickled code; neither a file nor memory above the limit."""
    for kind, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, max_bytes),
        (resource.RLIMIT_DATA, max_bytes),
    ):
        resource.setrlimit(kind, (limit, limit))
    sys.addaudithook(_refuse)


def _refuse(event: str, args: tuple[object, ...]) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(f"reading a model does not need {event}")
