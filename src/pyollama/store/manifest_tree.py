"""The folder of manifests: ``<host>/<namespace>/<model>/<tag>``, one file per model name."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from pyollama.errors import InvalidName
from pyollama.store.files import disk_errors, read_file, sync_folder, write_file
from pyollama.store.manifest import MAX_BYTES
from pyollama.store.name import Name

log = logging.getLogger(__name__)

_LEVELS = 4


class ManifestTree:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: Name) -> Path:
        return self.folder.joinpath(*name.parts)

    def names(self) -> Iterator[Name]:
        """Every model name in the tree; files that cannot be names are passed over."""
        yield from self._walk(self.folder, ())

    def _walk(self, folder: Path, parts: tuple[str, ...]) -> Iterator[Name]:
        for entry in _entries(folder):
            below = (*parts, entry.name)
            if len(below) < _LEVELS:
                if entry.is_dir():
                    yield from self._walk(Path(entry.path), below)
            elif not entry.is_dir():
                try:
                    yield Name(*below)
                except InvalidName:
                    log.warning("%s is not the name of a model, ignored", entry.path)

    def find(self, name: Name) -> Name | None:
        """The name as it is spelled on disk, whatever its case; ``None`` if there is none."""
        if _is_file(self.path(name)):
            return name
        parts = _match(self.folder, name.parts)
        return Name(*parts) if parts else None

    def spell(self, name: Name) -> Name:
        """The name to write to: its parts as far as the tree has them in another case."""
        if found := self.find(name):
            return found
        folder, parts = self.folder, list(name.parts)
        for level, part in enumerate(parts):
            same = _same(folder, part)
            if not same:
                break
            parts[level] = same[0]
            folder = folder / same[0]
        return Name(*parts)

    def read(self, name: Name) -> bytes:
        return read_file(self.path(name), MAX_BYTES)

    def write(self, name: Name, data: bytes) -> None:
        write_file(self.path(name), data, temporary_in=self.folder)

    def delete(self, name: Name) -> None:
        """Delete a manifest and the folders that are empty without it."""
        path = self.path(name)
        with disk_errors("delete", path):
            path.unlink()
            sync_folder(path.parent)
        self._drop_empty(path.parent)

    def drop_empty_folders(self) -> None:
        for folder, _, _ in os.walk(self.folder, topdown=False):
            self._drop_empty(Path(folder))

    def _drop_empty(self, folder: Path) -> None:
        while folder != self.folder:
            try:
                folder.rmdir()
            except OSError:  # not empty, or not ours
                return
            folder = folder.parent


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("cannot list %s: %s", folder, error.strerror)
        return []


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - False too for names a disk cannot have


def _same(folder: Path, part: str) -> list[str]:
    """Entries of ``folder`` that equal ``part`` but for case, the exact spelling first."""
    found = [entry.name for entry in _entries(folder) if entry.name.lower() == part.lower()]
    return sorted(found, key=lambda spelling: spelling != part)


def _match(folder: Path, parts: tuple[str, ...]) -> tuple[str, ...] | None:
    for spelling in _same(folder, parts[0]):
        if len(parts) == 1:
            if _is_file(folder / spelling):
                return (spelling,)
        elif rest := _match(folder / spelling, parts[1:]):
            return (spelling, *rest)
    return None
