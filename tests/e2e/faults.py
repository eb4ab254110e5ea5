"""What goes wrong between a client and a registry, and a record of what was asked."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "answer",  # answer with `status`, `headers` and `body` instead of asking the registry
    "lose",  # let the registry answer, but answer with `status` instead
    "forget",  # pass the request on without its credentials
    "cut",  # of the answer's body send what is before `at`, then reset the connection
    "truncate",  # the same, but as if that were all
    "flip",  # change the byte at `at`
    "stall",  # send what is before `at`, then nothing until the proxy ends
    "slow",  # send `rate` bytes per second
    "redirect",  # answer a GET of a blob, or the PATCH of an upload, with a place on another host
]


@dataclass(slots=True)
class Fault:
    """Befalls the next ``times`` requests that it fits; for ever if that is ``None``.

    ``path`` is searched for in the path and query. ``at`` counts bytes of the blob, so that
    a request for a range without that byte is spared. With ``upload`` it is about the request's
    body instead of the answer's, and counts from the beginning of that body.
    """

    kind: Kind
    path: str = "/blobs/sha256:"
    method: str = "GET"
    times: int | None = 1
    at: int = 0
    upload: bool = False
    rate: int = 0
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def fits(self, method: str, path: str, start: int, end: int | None) -> bool:
        """``start`` and ``end`` (exclusive) are the range that is asked for."""
        if self.times == 0 or self.method != method or not re.search(self.path, path):
            return False
        if self.upload or self.kind not in ("cut", "truncate", "flip", "stall"):
            return True
        return start <= self.at and (end is None or self.at < end)


@dataclass(slots=True)
class Seen:
    """A request as it came in. ``received`` and ``sent`` count bytes of the bodies.

    ``host`` is that of the request's own header, ``fault`` what befell it.
    """

    method: str
    host: str
    path: str
    headers: dict[str, str]
    status: int = 0
    received: int = 0
    sent: int = 0
    fault: Kind | None = None

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


class Record:
    """Faults to come, and requests that came. Safe to use from several threads.

    ``watch`` is called with the number of each request, before anything is done about it.
    """

    def __init__(self) -> None:
        self.watch: Callable[[int], None] | None = None
        self._faults: list[Fault] = []
        self._requests: list[Seen] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forget faults and requests."""
        with self._lock:
            self.watch = None
            self._faults.clear()
            self._requests.clear()

    def take(self, seen: Seen) -> Fault | None:
        """The fault that befalls this request, which is put on record."""
        start, end = byte_range(seen.headers.get("range", ""))
        with self._lock:
            self._requests.append(seen)
            if self.watch is not None:
                self.watch(len(self._requests))
            for fault in self._faults:
                if fault.fits(seen.method, seen.path, start, end):
                    if fault.times is not None:
                        fault.times -= 1
                    seen.fault = fault.kind
                    return fault
        return None

    def requests(self, method: str = "", path: str = "") -> list[Seen]:
        """The requests so far, of this method and with this in their path, in order."""
        with self._lock:
            return [
                seen
                for seen in self._requests
                if method in ("", seen.method) and re.search(path, seen.path)
            ]


def byte_range(header: str) -> tuple[int, int | None]:
    """First byte and the one after the last of ``bytes=a-b``; without a header all there is."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", header)
    if found is None:
        return 0, None
    return int(found[1]), int(found[2]) + 1 if found[2] else None
