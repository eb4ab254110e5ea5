from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from pyollama.errors import BlobNotFound, DigestMismatch, InvalidRequest, StoreError
from pyollama.store.blobs import Blobs
from pyollama.store.files import write_file


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "new" / "blobs")


def test_written_in_pieces(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        for piece in (b"one ", bytearray(b"two "), memoryview(b"three")):
            writer.write(piece)
        assert writer.commit(digest(b"one two three")) == digest(b"one two three")
    path = blobs.path(digest(b"one two three"))
    assert path.read_bytes() == b"one two three"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert blobs.size(digest(b"one two three")) == 13
    assert files(blobs.folder) == [path.name]


def upload(blobs: Blobs, data: bytes, expected: str) -> None:
    with blobs.writer() as writer:
        writer.write(data)
        writer.commit(expected)


def test_mismatch_leaves_nothing(blobs: Blobs) -> None:
    want, got = digest(b"two"), digest(b"three")
    with pytest.raises(DigestMismatch) as caught:
        upload(blobs, b"three", want)
    assert str(caught.value) == f'digest mismatch, expected "{want}", got "{got}"'
    assert files(blobs.folder) == []


def test_spelling_of_the_digest_counts(blobs: Blobs) -> None:
    """An upload under another spelling would be found under neither."""
    for spelling in (digest(b"x").replace(":", "-"), "sha256:" + digest(b"x")[7:].upper()):
        with pytest.raises(DigestMismatch):
            upload(blobs, b"x", spelling)


def test_abandoned_upload_leaves_nothing(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        writer.write(b"half")
        assert len(files(blobs.folder)) == 1
    assert files(blobs.folder) == []


def test_existing_blob_is_kept_and_counts_as_new(blobs: Blobs) -> None:
    name, new = blobs.put(b"data")
    assert new
    os.utime(blobs.path(name), (0, 0))
    inode = blobs.path(name).stat().st_ino
    assert blobs.put(b"data") == (name, False)
    assert blobs.path(name).stat().st_ino == inode
    assert blobs.path(name).stat().st_mtime > 1e9
    os.utime(blobs.path(name), (0, 0))
    with blobs.writer() as writer:
        writer.write(b"data")
        writer.commit()
    assert blobs.path(name).stat().st_mtime > 1e9
    assert len(files(blobs.folder)) == 1


def test_files_from_elsewhere_are_copied(blobs: Blobs, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"content")
    assert blobs.copy_in(source) == (digest(b"content"), True)
    assert blobs.copy_in(source) == (digest(b"content"), False)
    assert source.exists()


def test_complete_files_are_adopted(blobs: Blobs) -> None:
    with blobs.temporary() as path:
        path.write_bytes(b"quantised")
        assert blobs.adopt(path) == (digest(b"quantised"), True)
    with blobs.temporary() as path:
        path.write_bytes(b"quantised")
        assert blobs.adopt(path) == (digest(b"quantised"), False)
    with blobs.temporary() as path:
        path.write_bytes(b"not wanted")
    assert files(blobs.folder) == [digest(b"quantised").replace(":", "-")]


@pytest.mark.parametrize(
    "text",
    [
        *("", "sha256:abc", "md5:" + "a" * 64, "a" * 64, "sha256:" + "g" * 64),
        *("sha256:" + "a" * 65, "sha256:../../etc", f"sha256:{'a' * 62}/.", f"sha256:{'a' * 64}\n"),
    ],
)
def test_malformed_digest_is_refused(blobs: Blobs, text: str) -> None:
    for call in (blobs.has, blobs.path, blobs.require):
        with pytest.raises(InvalidRequest, match="invalid digest format"):
            call(text)


def test_missing_blob_and_broken_link(blobs: Blobs) -> None:
    name = digest(b"x")
    with pytest.raises(BlobNotFound, match=name):
        blobs.read(name, 10)
    blobs.folder.mkdir(parents=True)
    blobs.path(name).symlink_to("/nowhere/at/all")
    assert not blobs.has(name)
    with pytest.raises(StoreError, match="/nowhere/at/all, which does not exist"):
        blobs.require(name)


def test_reading_is_bounded(blobs: Blobs) -> None:
    name, _ = blobs.put(b"12345")
    assert blobs.read(name, 5) == b"12345"
    with pytest.raises(StoreError, match="longer than 4 bytes"):
        blobs.read(name, 4)


def test_pinned_blob_is_not_deleted(blobs: Blobs) -> None:
    name, _ = blobs.put(b"x")
    with blobs.pinned() as first, blobs.pinned() as second:
        first.add([name, name])
        second.add([name])
        assert not blobs.delete(name)
        second.release()
        assert not blobs.delete(name)
    assert blobs.delete(name)
    assert not blobs.has(name)
    assert blobs.delete(name)


def test_disk_errors_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blobs").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write to"):
        Blobs(tmp_path / "blobs").put(b"x")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    blobs = Blobs(tmp_path / "other")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device") as caught:
        blobs.put(b"x")
    assert "disk is full" in caught.value.hint
    monkeypatch.undo()
    assert files(tmp_path / "other") == []


def test_failed_replacement_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "file"
    write_file(path, b"old", temporary_in=tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644

    def fail(self: Path, target: Path) -> Path:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(StoreError, match="Input/output error"):
        write_file(path, b"new", temporary_in=tmp_path)
    assert path.read_bytes() == b"old"
    assert files(tmp_path) == ["deep"]


def test_a_file_is_copied_where_it_may_be_changed(blobs: Blobs, tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(b"content")
    assert blobs.take_over(source, digest(b"content"))
    path = blobs.path(digest(b"content"))
    assert path.stat().st_ino != source.stat().st_ino
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert not blobs.take_over(source, digest(b"content"))
    assert files(blobs.folder) == [path.name]


@pytest.mark.parametrize("final", ["hex", "blob", "read-only", "link"])
def test_a_file_that_nobody_changes_is_linked(blobs: Blobs, tmp_path: Path, final: str) -> None:
    wanted = digest(b"content")
    names = {"hex": wanted[7:], "blob": f"sha256-{wanted[7:]}", "read-only": "x.gguf"}
    source = tmp_path / names.get(final, wanted[7:])
    source.write_bytes(b"content")
    source.chmod(0o444 if final == "read-only" else 0o600)
    mode, named = source.stat().st_mode, source
    if final == "link":
        named = tmp_path / "x.gguf"
        named.symlink_to(source)
    assert blobs.take_over(named, wanted)
    assert blobs.path(wanted).stat().st_ino == source.stat().st_ino
    assert not blobs.path(wanted).is_symlink()
    assert source.stat().st_mode == mode
    assert blobs.delete(wanted)
    assert source.read_bytes() == b"content"


def test_a_file_of_another_user_is_copied(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who owns it could change it in place, and with it what others run."""
    source = tmp_path / digest(b"content")[7:]
    source.write_bytes(b"content")
    if os.geteuid() == 0:
        os.chown(source, 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert blobs.take_over(source, digest(b"content"))
    assert blobs.path(digest(b"content")).stat().st_ino != source.stat().st_ino


def test_another_content_is_not_taken_over(blobs: Blobs, tmp_path: Path) -> None:
    source = tmp_path / digest(b"one")[7:]
    source.write_bytes(b"two")
    with pytest.raises(DigestMismatch):
        blobs.take_over(source, digest(b"one"))
    with pytest.raises(StoreError, match="there is no such file"):
        blobs.take_over(tmp_path, digest(b"one"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="there is no such file"):
        blobs.take_over(tmp_path / "pipe", digest(b"one"))
    assert source.read_bytes() == b"two"
    assert files(blobs.folder) == []


def test_a_link_that_is_not_possible_becomes_a_copy(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    source = tmp_path / digest(b"content")[7:]
    source.write_bytes(b"content")
    assert blobs.take_over(source, digest(b"content"))
    assert blobs.path(digest(b"content")).stat().st_ino != source.stat().st_ino
    assert blobs.read(digest(b"content"), 10) == b"content"


def test_a_damaged_blob_gives_way_to_a_whole_one(blobs: Blobs) -> None:
    name, _ = blobs.put(b"whole")
    blobs.path(name).write_bytes(b"who")
    assert blobs.put(b"whole") == (name, True)
    assert blobs.read(name, 10) == b"whole"
