"""The file behind an upload: what of it to send, and how much of it is on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pyollama.errors import DigestMismatch
from pyollama.store.digest import file_digest
from pyollama.store.files import disk_errors

PARTS = 16
SMALLEST_PART, LARGEST_PART = 100_000_000, 1_000_000_000

_PIECE = 256 << 10

Part = tuple[int, int]
"""First byte, and the one after the last."""


def part_size(total: int) -> int:
    """Bytes of each part but the last: a sixteenth of all, but not too few or too many."""
    return min(max(-(-total // PARTS), SMALLEST_PART), LARGEST_PART)


class Content:
    """A blob of ``size`` bytes in the file at ``path``. Parts may be read by several threads."""

    def __init__(self, path: Path, digest: str, size: int) -> None:
        self.size = size
        self._path = path
        self._digest = digest
        self._flying: dict[int, int] = {}

    @property
    def flying(self) -> int:
        """Bytes that were read for parts that nobody has said to be done with."""
        return sum(self._flying.copy().values())

    def check_size(self) -> None:
        """Raise :class:`DigestMismatch` if the file cannot hold the blob."""
        with disk_errors("read", self._path):
            if self._path.stat().st_size != self.size:
                raise self._damaged()

    def check_all(self) -> None:
        """Raise :class:`DigestMismatch` if the file does not hold the blob; reads all of it."""
        with disk_errors("read", self._path):
            if file_digest(self._path) != self._digest.replace("-", ":", 1):
                raise self._damaged()

    def pieces(
        self, part: Part, check: Callable[[], None], note: Callable[[bytes], None] | None = None
    ) -> Iterator[bytes]:
        """The bytes of a part. ``check`` is called before each piece, ``note`` with it."""
        start, end = part
        self._flying[start] = 0
        with disk_errors("read", self._path), self._path.open("rb") as file:
            file.seek(start)
            while start < end:
                check()
                piece = file.read(min(_PIECE, end - start))
                if not piece:
                    raise self._damaged()
                if note is not None:
                    note(piece)
                yield piece
                start += len(piece)
                self._flying[part[0]] += len(piece)

    def restart(self) -> None:
        """Nothing is on its way any more."""
        self._flying.clear()

    def done(self, part: Part) -> None:
        """The part is counted elsewhere, or has to be sent again."""
        self._flying.pop(part[0], None)

    def _damaged(self) -> DigestMismatch:
        return DigestMismatch(
            f"blob {self._digest} is damaged: {self._path} does not have its content",
            hint="pull or create the model again",
        )
