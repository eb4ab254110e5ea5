"""Deleting blobs that no model needs.

When a manifest cannot be read nobody knows what it needs, so then nothing is deleted.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from pyollama.errors import InvalidManifest, PyollamaError
from pyollama.store.blobs import Blobs
from pyollama.store.digest import from_file_name
from pyollama.store.files import TEMPORARY_FILES, disk_errors
from pyollama.store.manifest import parse_manifest
from pyollama.store.manifest_tree import ManifestTree

log = logging.getLogger(__name__)

GRACE = 3600.0
"""Seconds for which a new file is left alone: another process may be about to need it."""

_GROUP = re.compile(r"sha256-[0-9a-fA-F]{64}")


def referenced(tree: ManifestTree, but: Collection[Path] = ()) -> set[str]:
    """The file names of all blobs that models need, ``but`` for those of some manifests.

    :class:`InvalidManifest` if a manifest cannot be read.
    """
    needed: set[str] = set()
    for name in tree.names():
        if tree.path(name) in but:
            continue
        try:
            manifest = parse_manifest(tree.read(name))
        except PyollamaError as error:
            if not os.path.lexists(tree.path(name)):  # deleted while we were looking
                continue
            raise InvalidManifest(
                f"the manifest of {name.short} cannot be read, so nobody knows which blobs it"
                f" needs: {error}",
                hint=f"delete that model ('pyollama rm {name.short}'), or bring its file back",
            ) from error
        needed.update(layer.digest.replace(":", "-") for layer in manifest.blobs)
    return needed


def collect(digests: Iterable[str], tree: ManifestTree, blobs: Blobs) -> int:
    """Delete those of ``digests`` that no manifest names, at once; how many are gone."""
    candidates = set(digests)
    try:
        needed = referenced(tree) if candidates else set()
    except InvalidManifest as error:
        log.warning("corrupt manifests detected, unused blobs are kept: %s", error)
        return 0
    unused = [digest for digest in candidates if digest.replace(":", "-") not in needed]
    return sum(blobs.delete(digest) for digest in unused)


def horizon(now: float | None = None) -> float:
    """What was written before this time may go if nothing needs it."""
    return (time.time() if now is None else now) - GRACE


def unneeded(tree: ManifestTree, blobs: Blobs, before: float) -> list[Path]:
    """The files that processes which ended early have left, all older than ``before``.

    They are blobs that no manifest names, temporary files, partial downloads none of whose files
    was written since, and empty manifests, which is what a power cut leaves of one that was not
    synced.
    """
    with disk_errors("tidy up", blobs.folder):
        stale = _stale(blobs.folder, before)
        empty = _empty_manifests(tree, before)
        # After the look at the blobs, so that it knows about more.
        found = [blobs.folder / name for name in sorted(stale - referenced(tree, empty))]
    with disk_errors("tidy up", tree.folder):
        found += [path for path in sorted(tree.folder.glob(TEMPORARY_FILES)) if _old(path, before)]
    return found + empty


def prune(tree: ManifestTree, blobs: Blobs, now: float | None = None) -> list[Path]:
    """Delete what is :func:`unneeded`; the files that are gone."""
    before = horizon(now)
    with disk_errors("tidy up", blobs.folder):
        _rename_old(blobs.folder)
    found = unneeded(tree, blobs, before)
    with disk_errors("tidy up", tree.folder):
        deleted = [path for path in found if _drop(blobs, path, before)]
        tree.drop_empty_folders()
    return deleted


def _drop(blobs: Blobs, path: Path, before: float) -> bool:
    if not _old(path, before):  # touched since: in use again
        return False
    digest = from_file_name(path.name) if path.parent == blobs.folder else None
    if digest:
        return blobs.delete(digest)
    path.unlink(missing_ok=True)
    return True


def _old(path: Path, before: float) -> bool:
    try:
        return path.lstat().st_mtime < before and not path.is_dir()
    except FileNotFoundError:
        return False


def _empty_manifests(tree: ManifestTree, before: float) -> list[Path]:
    paths = (tree.path(name) for name in tree.names())
    return [path for path in paths if _old(path, before) and path.lstat().st_size == 0]


def _stale(folder: Path, horizon: float) -> set[str]:
    """Files of ours that are old together with all that belong to the same download."""
    times: dict[str, float] = {}
    files: dict[str, str] = {}
    for path in folder.glob("sha256*"):
        whole = _GROUP.match(path.name)
        group = whole[0] if whole else path.name
        with suppress(FileNotFoundError):
            times[group] = max(path.lstat().st_mtime, times.get(group, 0.0))
            files[path.name] = group
    return {name for name, group in files.items() if times[group] < horizon}


def _rename_old(folder: Path) -> None:
    """Early versions of Ollama had a colon in the names of blobs."""
    for old in folder.glob("sha256:*"):
        new = old.with_name(old.name.replace(":", "-"))
        if not new.exists():
            old.rename(new)
