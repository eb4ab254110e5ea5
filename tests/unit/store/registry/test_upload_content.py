from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import Aborted, DigestMismatch
from pyollama.store.digest import digest_of
from pyollama.store.registry.upload_content import (
    LARGEST_PART,
    PARTS,
    SMALLEST_PART,
    Content,
    part_size,
)

DATA = bytes(range(256)) * 4000


@pytest.fixture
def content(tmp_path: Path) -> Content:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    return Content(path, digest_of(DATA), len(DATA))


@given(st.integers(0, 1 << 45))
def test_parts_are_few_but_never_tiny_or_huge(total: int) -> None:
    size = part_size(total)
    assert SMALLEST_PART <= size <= LARGEST_PART
    assert size * PARTS >= total or size == LARGEST_PART


def test_a_part_is_read_in_pieces_that_are_counted(content: Content) -> None:
    first, second = (100, 300_000), (300_000, len(DATA))
    pieces = content.pieces(first, lambda: None)
    taken = next(pieces)
    assert content.flying == 0  # nobody has asked for more, so it may not have been sent
    assert taken + b"".join(pieces) == DATA[100:300_000]
    assert b"".join(content.pieces(second, lambda: None)) == DATA[300_000:]
    assert content.flying == len(DATA) - 100
    content.done(first)
    assert content.flying == len(DATA) - 300_000
    content.restart()
    assert content.flying == 0


def test_a_part_that_is_sent_again_counts_once(content: Content) -> None:
    for _ in range(2):
        assert len(b"".join(content.pieces((0, 1000), lambda: None))) == 1000
    assert content.flying == 1000


def test_reading_ends_when_nobody_wants_it_any_more(content: Content) -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Aborted("enough")

    with pytest.raises(Aborted):
        list(content.pieces((0, len(DATA)), check))
    assert 0 < content.flying < len(DATA)


def test_a_file_that_is_not_the_blob_is_named(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    short = Content(path, digest_of(DATA), len(DATA) + 1)
    with pytest.raises(DigestMismatch, match=str(path)):
        short.check_size()
    with pytest.raises(DigestMismatch, match=str(path)):
        list(short.pieces((0, len(DATA) + 1), lambda: None))
    with pytest.raises(DigestMismatch, match=str(path)):
        Content(path, digest_of(b""), len(DATA)).check_all()
    whole = Content(path, digest_of(DATA).replace(":", "-"), len(DATA))
    whole.check_size()
    whole.check_all()
