"""Partial downloads on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import StoreError
from pyollama.store.registry.parts import (
    CHUNK,
    Part,
    Partial,
    drop_leftovers,
    fit_together,
    format_part,
    parse_part,
    plan,
)

MB = 1 << 20


def open_partial(path: Path, total: int) -> Partial:
    partial = Partial.open(path, total)
    assert partial is not None
    return partial


def states(folder: Path) -> dict[str, dict[str, int]]:
    return {path.name: json.loads(path.read_text()) for path in folder.glob("blob-partial-*")}


@given(st.integers(0, 1 << 46))
def test_a_plan_covers_every_byte_once(total: int) -> None:
    parts = plan(total)
    assert fit_together(parts, total)
    assert [part.number for part in parts] == list(range(len(parts)))
    assert len(parts) <= 100_000


@given(st.integers(0, 1 << 59), st.integers(1, 1 << 59), st.data())
def test_states_survive_being_written_and_have_one_length(
    offset: int, size: int, data: st.DataObject
) -> None:
    part = Part(7, offset, size, data.draw(st.integers(0, size)))
    text = format_part(part)
    again = parse_part(text)
    assert (again.number, again.offset, again.size, again.completed) == (
        part.number,
        part.offset,
        part.size,
        part.completed,
    )
    assert len(text) == len(format_part(Part(0, 0, 1)))


def test_a_state_is_what_ollama_writes() -> None:
    state = {"N": 3, "Offset": 300, "Size": 100, "Completed": 42}
    assert json.loads(format_part(Part(3, 300, 100, 42))) == state
    assert parse_part(json.dumps(state).encode()) == Part(3, 300, 100, 42, doubtful=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"N":0,"Offset":0,"Size":10,"Completed":11}',
        '{"N":0,"Offset":-1,"Size":10,"Completed":0}',
        '{"N":0,"Offset":0,"Size":10,"Completed":-1}',
        '{"N":0,"Offset":0,"Size":10,"Completed":1e3}',
        '{"N":0,"Offset":0,"Size":1e99,"Completed":0}',
    ],
)
def test_what_is_no_state(text: str) -> None:
    with pytest.raises(ValueError, match="state"):
        parse_part(text.encode())


def test_a_new_download_says_so_in_ollamas_layout(tmp_path: Path) -> None:
    partial = open_partial(tmp_path / "blob", 40 * MB)
    assert (tmp_path / "blob-partial").stat().st_size == 40 * MB
    assert states(tmp_path) == {
        f"blob-partial-{n}": {"N": n, "Offset": n * 16 * MB, "Size": size * MB, "Completed": 0}
        for n, size in ((0, 16), (1, 16), (2, 8))
    }
    partial.close()


def test_bytes_and_counts_are_found_again(tmp_path: Path) -> None:
    partial = open_partial(tmp_path / "blob", 40 * MB)
    with partial.writer(partial.parts[1]) as writer:
        writer.write(b"x" * 10)
    partial.close()
    again = open_partial(tmp_path / "blob", 40 * MB)
    assert [part.completed for part in again.parts] == [0, 10, 0]
    assert [part.doubtful for part in again.parts] == [False, True, False]
    data = bytearray(10)
    assert again.read_into(memoryview(data), 16 * MB) == 10
    assert data == b"x" * 10
    again.close()


def test_a_count_lags_by_less_than_a_chunk(tmp_path: Path) -> None:
    partial = open_partial(tmp_path / "blob", 40 * MB)
    part = partial.parts[0]
    with partial.writer(part) as writer:
        for _ in range(37):
            writer.write(bytes(100_000))
            on_disk = states(tmp_path)["blob-partial-0"]["Completed"]
            assert on_disk <= part.completed < on_disk + CHUNK
    assert states(tmp_path)["blob-partial-0"]["Completed"] == part.completed
    partial.close()


def test_parts_of_ollama_are_taken_over(tmp_path: Path) -> None:
    (tmp_path / "blob-partial").write_bytes(b"abcdefghij")
    for n, completed in ((0, 3), (1, 5)):
        state = {"N": n, "Offset": 5 * n, "Size": 5, "Completed": completed}
        (tmp_path / f"blob-partial-{n}").write_text(json.dumps(state) + "\n" * 200)
    partial = open_partial(tmp_path / "blob", 10)
    assert [(part.start, part.stop) for part in partial.parts] == [(3, 5), (10, 10)]
    with partial.writer(partial.parts[0]) as writer:
        writer.write(b"DE")
    assert states(tmp_path)["blob-partial-0"] == {"N": 0, "Offset": 0, "Size": 5, "Completed": 5}
    assert (tmp_path / "blob-partial").read_bytes() == b"abcDEfghij"
    partial.close()


@pytest.mark.parametrize(
    "broken",
    [
        {"N": 1, "Offset": 4, "Size": 6, "Completed": 0},
        {"N": 1, "Offset": 6, "Size": 4, "Completed": 0},
        {"N": 1, "Offset": 5, "Size": 6, "Completed": 0},
        {"N": 0, "Offset": 5, "Size": 5, "Completed": 0},
        {"N": 1, "Offset": 5, "Size": 5, "Completed": 6},
        "nonsense",
        None,
    ],
)
def test_parts_that_do_not_fit_are_begun_anew(tmp_path: Path, broken: object) -> None:
    (tmp_path / "blob-partial").write_bytes(b"abcdefghij")
    first = {"N": 0, "Offset": 0, "Size": 5, "Completed": 5}
    (tmp_path / "blob-partial-0").write_text(json.dumps(first))
    if broken:
        (tmp_path / "blob-partial-1").write_text(json.dumps(broken))
    partial = open_partial(tmp_path / "blob", 10)
    assert (len(partial.parts), partial.completed) == (1, 0)
    assert list(states(tmp_path)) == ["blob-partial-0"]
    partial.close()


def test_counts_without_their_bytes_are_not_believed(tmp_path: Path) -> None:
    state = {"N": 0, "Offset": 0, "Size": 10, "Completed": 10}
    (tmp_path / "blob-partial-0").write_text(json.dumps(state))
    partial = open_partial(tmp_path / "blob", 10)
    assert partial.completed == 0
    partial.close()


def test_a_download_belongs_to_one_at_a_time(tmp_path: Path) -> None:
    first = open_partial(tmp_path / "blob", 10)
    assert Partial.open(tmp_path / "blob", 10) is None
    first.close()
    open_partial(tmp_path / "blob", 10).close()


def test_whoever_waited_does_not_get_the_finished_file(tmp_path: Path) -> None:
    partial = open_partial(tmp_path / "blob", 10)
    partial.path.rename(tmp_path / "blob")
    partial.drop_states()
    partial.close()
    assert [path.name for path in tmp_path.iterdir()] == ["blob"]
    other = open_partial(tmp_path / "blob", 10)
    assert other.path.stat().st_ino != (tmp_path / "blob").stat().st_ino
    other.close()


def test_parts_become_one(tmp_path: Path) -> None:
    partial = open_partial(tmp_path / "blob", 40 * MB)
    for number, count in ((0, 16 * MB), (1, 5), (2, 8 * MB)):
        with partial.writer(partial.parts[number]) as writer:
            writer.write(bytes(count))
    partial.merge()
    assert [(part.start, part.stop) for part in partial.parts] == [(16 * MB + 5, 40 * MB)]
    assert list(states(tmp_path)) == ["blob-partial-0"]
    partial.close()
    again = open_partial(tmp_path / "blob", 40 * MB)
    assert [part.start for part in again.parts] == [16 * MB + 5]
    again.close()


def test_leftovers_go_unless_somebody_is_at_them(tmp_path: Path) -> None:
    partial = open_partial(tmp_path / "blob", 10)
    drop_leftovers(tmp_path / "blob")
    assert len(list(tmp_path.iterdir())) == 2
    partial.close()
    drop_leftovers(tmp_path / "blob")
    assert not list(tmp_path.iterdir())
    (tmp_path / "blob-partial-3").write_text("{}")
    drop_leftovers(tmp_path / "blob")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_noticed_before_the_first_byte(tmp_path: Path) -> None:
    partial = open_partial(tmp_path / "blob", 1 << 42)
    with pytest.raises(StoreError, match="not enough room"):
        partial.check_room()
    partial.discard()
    partial.close()
    assert not list(tmp_path.iterdir())


def test_an_empty_blob_has_no_parts(tmp_path: Path) -> None:
    partial = open_partial(tmp_path / "blob", 0)
    assert partial.parts == []
    partial.close()
