from __future__ import annotations

import errno
import os
import stat
import struct
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyollama.engine.prefix import token_array
from pyollama.engine.tiers import disk as disk_module
from pyollama.engine.tiers import format
from pyollama.engine.tiers.disk import DiskTier
from pyollama.engine.tiers.pieces import Piece, cut, root

ROOT = root(b"model")
(PIECE,) = cut(ROOT, token_array(range(40)), 0)
STATE = bytes(range(256)) * 3

in_one_folder = settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def pieces(count: int, first: int = 0) -> list[Piece]:
    """A prefix of ``count`` pieces."""
    return list(cut(ROOT, token_array([first, *range(1, count)]), 1))


def tier(folder: Path, limit: int = 1 << 20, layout: bytes = b"one") -> DiskTier:
    tier = DiskTier(folder, layout, limit)
    assert tier.open()
    return tier


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def read(tier: DiskTier, piece: Piece = PIECE) -> bytes | None:
    state = tier.read(piece)
    return None if state is None else bytes(state)


def test_what_is_written_is_read_and_found(tmp_path: Path) -> None:
    ours = tier(tmp_path / "a" / "b")
    assert ours.write(PIECE, STATE, 5)
    (path,) = files(tmp_path)
    assert path.stat().st_size == format.file_bytes(PIECE, len(STATE))
    assert path.stat().st_mtime_ns == 5
    again = tier(tmp_path / "a" / "b")
    assert read(again) == STATE
    assert again.scan() == ([PIECE], {PIECE.key})
    assert again.scan({PIECE.key}) == ([], {PIECE.key})
    again.remove(PIECE)
    again.remove(PIECE)
    assert again.scan() == ([], set())
    assert read(again) is None


def test_a_state_may_be_a_view(tmp_path: Path) -> None:
    ours = tier(tmp_path)
    assert ours.write(PIECE, memoryview(STATE)[1:], 0)
    assert read(ours) == STATE[1:]


def test_nobody_else_can_look(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert tier(folder).write(PIECE, STATE, 0)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))]
    assert modes == [0o700, 0o700, 0o600]


def test_a_folder_that_cannot_be_made_is_no_tier(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    assert not DiskTier(tmp_path / "file" / "below", b"one", 1000).open()
    assert "cannot be kept" in caplog.text


def test_a_folder_of_somebody_else_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert not DiskTier(tmp_path, b"one", 1000).open()


def test_a_folder_that_vanishes_is_made_again(tmp_path: Path) -> None:
    ours = tier(tmp_path / "folder")
    (layout,) = (tmp_path / "folder").iterdir()
    layout.rmdir()
    (tmp_path / "folder").rmdir()
    ours.sync()
    ours.touch([PIECE], 1)
    assert (ours.scan(), ours.changed) == (([], set()), 0)
    assert ours.write(PIECE, STATE, 0)
    assert read(ours) == STATE


def test_a_disk_that_fails_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours = tier(tmp_path)

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    assert not ours.write(PIECE, STATE, 0)
    assert not ours.write(PIECE, STATE, 0)
    assert len(caplog.records) == 1
    assert files(tmp_path) == []
    monkeypatch.undo()
    assert ours.write(PIECE, STATE, 0)


# --- files that are not what they should be -------------------------------------------------------


def damage(data: bytes, draw: st.DataObject) -> bytes:
    kind = draw.draw(st.sampled_from(["flip", "cut", "grow", "swap", "noise"]))
    at = draw.draw(st.integers(0, len(data) - 1))
    match kind:
        case "flip":
            return data[:at] + bytes([data[at] ^ draw.draw(st.integers(1, 255))]) + data[at + 1 :]
        case "cut":
            return data[:at]
        case "grow":
            return data + draw.draw(st.binary(min_size=1, max_size=9))
        case "swap":
            return data[at:] + data[:at] if at else data[1:]
    return draw.draw(st.binary(max_size=200))


@in_one_folder
@given(st.data())
def test_a_damaged_file_is_a_miss_and_removed(tmp_path: Path, data: st.DataObject) -> None:
    ours = tier(tmp_path)
    assert ours.write(PIECE, STATE, 0)
    (path,) = files(tmp_path)
    path.write_bytes(damage(path.read_bytes(), data))
    scans = data.draw(st.booleans())
    fresh = ours.scan()[0] if scans else [PIECE]
    assert fresh in ([PIECE], [])
    assert read(ours) is None
    assert files(tmp_path) == []


@given(st.binary(max_size=300))
def test_anything_can_be_read(data: bytes) -> None:
    for read in (format.read_head, format.read_piece):
        with pytest.raises(format.Damaged):
            read(data)
    with pytest.raises(format.Damaged):
        format.read_state(PIECE, memoryview(data))


@pytest.mark.parametrize("count", [0, 39, 41, 2**32 - 1])
def test_a_wrong_number_of_tokens_is_damage_even_with_a_checksum(
    tmp_path: Path, count: int
) -> None:
    ours = tier(tmp_path)
    ours.write(PIECE, STATE, 0)
    (path,) = files(tmp_path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, format.HEAD_BYTES - 12, count)
    struct.pack_into("<I", data, 8, zlib.crc32(data[12:]))
    path.write_bytes(data)
    assert ours.scan() == ([], set())
    assert files(tmp_path) == []


def test_files_of_another_version_or_place_are_removed(tmp_path: Path) -> None:
    ours = tier(tmp_path)
    ours.write(PIECE, STATE, 0)
    (path,) = files(tmp_path)
    data = path.read_bytes()
    other = pieces(1)[0]
    ours.write(other, STATE, 0)
    path.write_bytes(b"PYOLKVP0" + data[8:])
    assert ours.scan() == ([other], {other.key})
    path.write_bytes(next(file for file in files(tmp_path) if file != path).read_bytes())
    assert ours.scan({other.key}) == ([], {other.key})
    path.with_name("copy.kv").write_bytes(data)
    path.with_name("notes.txt").write_text("not ours")
    assert ours.scan({other.key}) == ([], {other.key})
    assert {file.suffix for file in files(tmp_path)} == {".kv", ".txt"}
    assert len(files(tmp_path)) == 2


def test_layouts_do_not_see_each_other(tmp_path: Path) -> None:
    one, two = tier(tmp_path), tier(tmp_path, layout=b"two")
    one.write(PIECE, STATE, 0)
    assert read(two) is None
    assert two.scan() == ([], set())


# --- room -----------------------------------------------------------------------------------------

SIZE = format.file_bytes(pieces(1)[0], 100)


def test_the_oldest_go_first_whatever_their_layout(tmp_path: Path) -> None:
    one, two = tier(tmp_path, 4 * SIZE), tier(tmp_path, 4 * SIZE, layout=b"two")
    a, b, c, d, e = (pieces(1, first)[0] for first in range(5))
    for age, (where, piece) in enumerate([(one, a), (one, b), (two, c), (two, d)]):
        assert where.write(piece, bytes(100), age)
    one.touch([a], 9)
    assert tier(tmp_path, 4 * SIZE).write(e, bytes(100), 10)  # makes a little more room than needed
    assert one.scan()[1] == {a.key, e.key}
    assert two.scan()[1] == {d.key}


def test_of_a_prefix_the_end_goes_first(tmp_path: Path) -> None:
    ours = tier(tmp_path, 5 * SIZE)
    prefix = pieces(5)
    for piece in prefix:
        ours.write(piece, bytes(100), 7)
    assert tier(tmp_path, 5 * SIZE).write(pieces(1, 9)[0], bytes(100), 8)
    assert ours.scan()[1] >= {piece.key for piece in prefix[:3]}
    assert prefix[4].key not in ours.scan()[1]


def test_what_is_larger_than_the_limit_drives_nothing_out(tmp_path: Path) -> None:
    ours = tier(tmp_path, 2 * SIZE)
    kept = pieces(1)[0]
    assert ours.write(kept, bytes(100), 0)
    assert not ours.write(PIECE, bytes(1000), 1)
    assert ours.scan()[1] == {kept.key}


@in_one_folder
@given(
    limit=st.integers(0, 3000),
    writes=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 900)), max_size=12),
)
def test_the_limit_holds(tmp_path: Path, limit: int, writes: list[tuple[int, int]]) -> None:
    for path in files(tmp_path):
        path.unlink()
    ours = tier(tmp_path, limit)
    for now, (first, size) in enumerate(writes):
        piece = pieces(1, first)[0]
        assert ours.write(piece, bytes(size), now) == (format.file_bytes(piece, size) <= limit)
        assert sum(path.stat().st_size for path in files(tmp_path)) <= limit


def test_what_others_write_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "_LOOK_AGAIN", 2)
    one, two = tier(tmp_path, 8 * SIZE), tier(tmp_path, 8 * SIZE)
    for n in range(20):
        (one if n % 2 else two).write(pieces(1, n)[0], bytes(100), n)
        assert len(files(tmp_path)) <= 8 + 2
    one.write(pieces(1, 30)[0], bytes(100), 30)
    assert len(files(tmp_path)) <= 8


def test_what_nobody_is_writing_any_more_is_removed(tmp_path: Path) -> None:
    ours = tier(tmp_path)
    ours.write(PIECE, STATE, 0)
    folder = files(tmp_path)[0].parent
    old, new = folder / "tmpold.part", folder / "tmpnew.part"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (0, time.time() - 7200))
    assert tier(tmp_path).write(pieces(1)[0], STATE, 1)
    assert new in files(tmp_path) and old not in files(tmp_path)
