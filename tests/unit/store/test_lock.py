"""Two stores on one folder are two processes to each other: every open file holds its own locks."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pyollama.errors import StoreError
from pyollama.store import lock
from pyollama.store.lock import StoreLock
from pyollama.store.store import Store
from pyollama.types import CreateRequest

Make = Callable[..., bytes]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_PATIENCE", 0.0)


@pytest.mark.usefixtures("impatient")
def test_one_changes_at_a_time(tmp_path: Path) -> None:
    mine, theirs = StoreLock(tmp_path / "models"), StoreLock(tmp_path / "models")
    complaint = pytest.raises(StoreError, match=r"another process has been holding .*\.lock")
    with mine.changing(), mine.changing(), complaint:
        theirs.changing().__enter__()
    with theirs.changing():
        pass


@pytest.mark.usefixtures("impatient")
def test_blobs_are_deleted_by_who_is_alone(tmp_path: Path) -> None:
    mine, theirs = StoreLock(tmp_path), StoreLock(tmp_path)

    def alone(holder: StoreLock) -> bool:
        with holder.changing(), holder.alone() as found:
            return found

    assert alone(mine)
    with mine.using(), mine.using():
        assert alone(mine), "what this process uses itself is pinned in it"
        assert not alone(theirs)
        with theirs.using():
            assert not alone(mine)
        assert alone(mine)
        with mine.changing(), mine.alone(), pytest.raises(StoreError, match=r"\.use"):
            theirs.using().__enter__()
        assert not alone(theirs), "having been alone has not given the lock away"
    assert alone(theirs)


def test_a_file_system_without_locks_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    holder = StoreLock(tmp_path)
    with holder.using(), holder.changing(), holder.alone() as found:
        assert found


def test_what_cannot_be_written_can_still_be_used(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    holder = StoreLock(tmp_path / "in the way" / "models")
    with holder.using():
        pass
    with pytest.raises(StoreError, match="cannot write to"):
        holder.changing().__enter__()


def test_a_lock_is_no_way_to_write_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / ".pyollama.lock").symlink_to(tmp_path / "target")
    with pytest.raises(StoreError, match="cannot write to"):
        StoreLock(tmp_path / "models").changing().__enter__()
    assert not (tmp_path / "target").exists()


def make(store: Store, model: str, **fields: object) -> list[str]:
    steps = store.create(CreateRequest(model=model, **fields))  # type: ignore[arg-type]
    return [step.status for step in steps]


def test_a_model_in_the_making_keeps_its_blobs(store: Store, model_gguf: Make) -> None:
    """Another process deletes what they came from, and tidies up, in the middle of it."""
    digest, _ = store.blobs.put(model_gguf())
    make(store, "base", files={"x.gguf": digest})
    steps = store.create(CreateRequest(model="new", base="base", system="Mine."))
    while next(steps).status != "writing manifest":
        pass
    other = Store(store.root)
    other.delete("base")
    for blob in store.blobs.folder.iterdir():
        os.utime(blob, (0, 0))
    with pytest.raises(StoreError, match="another process is making or fetching a model"):
        other.tidy()
    assert [step.status for step in steps] == ["success"]
    assert store.resolve("new").system == "Mine."
    other.delete("new")
    assert [path.name for path in store.blobs.folder.iterdir() if store.blobs.has(digest)] == []
    other.tidy()
