"""Deleting blobs that no model needs.

When a manifest cannot be read nobody knows what it needs, so then nothing is deleted.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pyollama.errors import PyollamaError
from pyollama.store.blobs import Blobs
from pyollama.store.digest import from_file_name
from pyollama.store.files import TEMPORARY_FILES, disk_errors
from pyollama.store.manifest import parse_manifest
from pyollama.store.manifest_tree import ManifestTree

log = logging.getLogger(__name__)

GRACE = 3600.0
"""Seconds for which a new file is left alone: another process may be about to need it."""

_GROUP = re.compile(r"sha256-[0-9a-fA-F]{64}")


def referenced(tree: ManifestTree) -> set[str] | None:
    """The file names of all blobs that models need; ``None`` if a manifest cannot be read."""
    needed: set[str] = set()
    for name in tree.names():
        try:
            manifest = parse_manifest(tree.read(name))
        except PyollamaError as error:
            if not os.path.lexists(tree.path(name)):  # deleted while we were looking
                continue
            log.warning("manifest of %s: %s", name.short, error)
            return None
        needed.update(layer.digest.replace(":", "-") for layer in manifest.blobs)
    return needed


def collect(digests: Iterable[str], tree: ManifestTree, blobs: Blobs) -> int:
    """Delete those of ``digests`` that no manifest names, at once; how many are gone."""
    candidates = set(digests)
    needed = referenced(tree) if candidates else set()
    if needed is None:
        log.warning("corrupt manifests detected, unused blobs are kept")
        return 0
    unused = [digest for digest in candidates if digest.replace(":", "-") not in needed]
    return sum(blobs.delete(digest) for digest in unused)


def prune(tree: ManifestTree, blobs: Blobs, now: float | None = None) -> int:
    """Tidy up after processes that ended early; how many files are gone.

    Deletes what is older than :data:`GRACE`: blobs that no manifest names, temporary files, and
    partial downloads none of whose files was written since.
    """
    horizon = (time.time() if now is None else now) - GRACE
    with disk_errors("tidy up", blobs.folder):
        _rename_old(blobs.folder)
        stale = _stale(blobs.folder, horizon)
        needed = referenced(tree)  # after the look at the blobs, so that it knows about more
        if needed is None:
            log.warning("corrupt manifests detected, skipping prune operation")
            return 0
        deleted = sum(_drop(blobs, name, horizon) for name in stale - needed)
    with disk_errors("tidy up", tree.folder):
        for temporary in tree.folder.glob(TEMPORARY_FILES):
            if temporary.stat().st_mtime < horizon:
                temporary.unlink(missing_ok=True)
                deleted += 1
        tree.drop_empty_folders()
    return deleted


def _drop(blobs: Blobs, name: str, horizon: float) -> bool:
    path = blobs.folder / name
    try:
        if path.lstat().st_mtime >= horizon or path.is_dir():  # touched since: in use again
            return False
    except FileNotFoundError:
        return False
    if digest := from_file_name(name):
        return blobs.delete(digest)
    path.unlink(missing_ok=True)
    return True


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
