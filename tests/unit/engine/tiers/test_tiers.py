from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.engine.prefix import token_array
from pyollama.engine.tiers import tiers as tiers_module
from pyollama.engine.tiers.disk import DiskTier
from pyollama.engine.tiers.host import HostTier
from pyollama.engine.tiers.tiers import Tiers
from pyollama.errors import NativeError

SIZE = 32
PATIENCE = 60.0


class Cells:
    """A sequence whose state of some positions is the text of its tokens there."""

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens
        self.saved: list[tuple[int, int]] = []

    def save(self, start: int, stop: int) -> bytes:
        self.saved.append((start, stop))
        return state_of(self.tokens, start, stop)


def state_of(tokens: list[int], start: int, stop: int) -> bytes:
    return repr(tokens[start:stop]).encode()


def in_memory(budget: int = 1 << 20, size: int = SIZE) -> Tiers:
    return Tiers(b"one", HostTier(budget), None, size=size)


def on_disk(folder: Path, budget: int = 0, *, layout: bytes = b"one", size: int = SIZE) -> Tiers:
    disk = DiskTier(folder, layout, 1 << 20)
    assert disk.open()
    return Tiers(layout, HostTier(budget), disk, size=size)


def offer(tiers: Tiers, tokens: list[int]) -> list[tuple[int, int]]:
    """What was saved of a prefix on its way out."""
    cells = Cells(tokens)
    tiers.offer(token_array(tokens), cells.save)
    return cells.saved


def held(tiers: Tiers, prompt: list[int], limit: int | None = None, start: int = 0) -> int:
    """How much of ``prompt`` comes back; checks that it is what was given."""
    limit = len(prompt) if limit is None else limit
    promised = tiers.match(token_array(prompt), limit)
    end = start
    for part in tiers.take(token_array(prompt), start, limit):
        assert part.start == end and part.stop > end
        known = part.piece.tokens.tolist()
        assert known[: part.stop - part.piece.start] == prompt[part.piece.start : part.stop]
        assert bytes(part.state) == state_of(known, 0, len(known))
        end = part.stop
    assert end == max(promised, start)
    return end


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def close(tiers: Tiers) -> None:
    tiers.close(time.monotonic() + PATIENCE)


PROMPT = [n % 50 for n in range(5 * SIZE)]


def test_what_was_offered_comes_back_as_far_as_it_fits() -> None:
    tiers = in_memory()
    assert held(tiers, PROMPT) == 0
    assert offer(tiers, PROMPT[:100]) == [(0, 32), (32, 64), (64, 96)]
    assert held(tiers, PROMPT) == 96
    assert held(tiers, PROMPT, limit=70) == 70
    assert held(tiers, PROMPT, start=40) == 96
    assert held(tiers, [*PROMPT[:50], 99, *PROMPT[51:]]) == 50
    assert held(tiers, [99, *PROMPT]) == 0


def test_only_what_is_new_is_saved() -> None:
    tiers = in_memory()
    offer(tiers, PROMPT[:64])
    assert offer(tiers, PROMPT[:64]) == []
    assert offer(tiers, PROMPT[:40]) == []
    assert offer(tiers, PROMPT[:96]) == [(64, 96)]
    assert offer(tiers, [*PROMPT[:32], *[7] * 32]) == [(32, 64)]


def test_what_was_computed_under_other_conditions_is_kept_apart() -> None:
    tiers = in_memory()
    cells = Cells(PROMPT)
    tiers.offer(token_array(PROMPT), cells.save, scope=b"adapter")
    assert held(tiers, PROMPT) == 0
    assert tiers.match(token_array(PROMPT), 99, scope=b"adapter") == 99
    assert len(list(tiers.take(token_array(PROMPT), 0, 99, scope=b"adapter"))) == 4


def test_memory_that_cannot_be_cut_gets_whole_prefixes_only() -> None:
    tiers = in_memory(size=0)
    assert offer(tiers, PROMPT[:70]) == [(0, 70)]
    assert offer(tiers, PROMPT[:40]) == [(0, 40)]
    assert held(tiers, PROMPT) == 70
    assert held(tiers, PROMPT, limit=69) == 40
    assert held(tiers, PROMPT[:39]) == 0


def test_a_prefix_that_cannot_be_saved_in_full_is_kept_as_far_as_possible() -> None:
    def save(start: int, stop: int) -> bytes:
        if start >= 64:
            raise NativeError("the window has moved on")
        return state_of(PROMPT, start, stop)

    tiers = in_memory()
    tiers.offer(token_array(PROMPT), save)
    assert held(tiers, PROMPT) == 64


def test_without_any_room_nothing_is_saved_in_vain() -> None:
    assert len(offer(in_memory(budget=0), PROMPT)) == 1


def test_what_was_dropped_is_gone_until_it_is_offered_again() -> None:
    tiers = in_memory()
    offer(tiers, PROMPT)
    _, second, *_ = tiers.take(token_array(PROMPT), 0, len(PROMPT))
    tiers.drop(second.piece)
    tiers.drop(second.piece)
    assert held(tiers, PROMPT) == 32
    assert offer(tiers, PROMPT) == [(32, 64)]
    assert held(tiers, PROMPT) == len(PROMPT)


@given(
    st.integers(0, 2000),
    st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(0, 3), st.integers(0, 6 * 4))),
)
def test_what_comes_back_is_always_what_was_given(
    budget: int, uses: list[tuple[int, int, int]]
) -> None:
    tiers = in_memory(budget, size=4)
    for kind, seed, length in uses:
        prompt = [(n * seed) // 5 for n in range(length)]
        if kind:
            offer(tiers, prompt)
        else:
            held(tiers, prompt)


# --- with a disk ----------------------------------------------------------------------------------


def test_a_prefix_is_still_there_after_a_restart(tmp_path: Path) -> None:
    first = on_disk(tmp_path)
    offer(first, PROMPT)
    close(first)
    second = on_disk(tmp_path)
    assert held(second, PROMPT) == len(PROMPT)
    assert offer(second, PROMPT) == []
    close(second)


def test_what_is_still_to_be_written_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    write = DiskTier.write
    monkeypatch.setattr(DiskTier, "write", lambda *a: go.wait(PATIENCE) and write(*a))
    tiers = on_disk(tmp_path)
    offer(tiers, PROMPT)
    assert held(tiers, PROMPT) == len(PROMPT)
    go.set()
    close(tiers)
    assert held(tiers, PROMPT) == len(PROMPT)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing is written before the event is set, and one piece at a time may wait for it."""
    go = threading.Event()
    write = DiskTier.write
    monkeypatch.setattr(DiskTier, "write", lambda *a: go.wait(PATIENCE) and write(*a))
    monkeypatch.setattr(tiers_module, "MOST_UNWRITTEN", 0)
    return go


def test_what_the_disk_was_too_slow_for_is_written_at_the_end(
    tmp_path: Path, slow_disk: threading.Event
) -> None:
    tiers = on_disk(tmp_path, budget=1 << 20)
    offer(tiers, PROMPT)
    slow_disk.set()
    until(lambda: bool(list(tmp_path.rglob("*.kv"))))
    close(tiers)
    again = on_disk(tmp_path)
    assert held(again, PROMPT) == len(PROMPT)
    close(again)


def test_without_memory_a_slow_disk_gets_the_beginning(
    tmp_path: Path, slow_disk: threading.Event
) -> None:
    tiers = on_disk(tmp_path)
    assert len(offer(tiers, PROMPT)) == 2
    assert held(tiers, PROMPT) == 32
    slow_disk.set()
    close(tiers)


def test_at_the_end_the_disk_is_waited_for(tmp_path: Path, slow_disk: threading.Event) -> None:
    tiers = on_disk(tmp_path)
    slow_disk.set()
    cells = Cells(PROMPT)
    tiers.offer(token_array(PROMPT), cells.save, until=time.monotonic() + PATIENCE)
    close(tiers)
    again = on_disk(tmp_path)
    assert held(again, PROMPT) == len(PROMPT)
    close(again)


def test_the_end_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(DiskTier, "write", lambda *a: go.wait(PATIENCE) and False)
    tiers = on_disk(tmp_path)
    cells = Cells(PROMPT)
    tiers.offer(token_array(PROMPT), cells.save, until=time.monotonic() - 1)
    assert cells.saved == []
    offer(tiers, PROMPT)
    tiers.close(time.monotonic() + 0.05)
    go.set()


def ahead(tiers: Tiers, tokens: list[int]) -> list[tuple[int, int]]:
    """What is saved of a prefix that stays."""
    cells = Cells(tokens)
    for count, _ in enumerate(tiers.ahead(token_array(tokens), cells.save)):
        assert len(cells.saved) <= count + 1
    return cells.saved


def test_what_stays_can_be_written_ahead(tmp_path: Path) -> None:
    tiers = on_disk(tmp_path, budget=1 << 20)
    assert ahead(tiers, PROMPT) == [(start, start + 32) for start in range(0, 160, 32)]
    assert ahead(tiers, PROMPT) == offer(tiers, PROMPT) == []
    assert held(tiers, PROMPT) == len(PROMPT)
    close(tiers)
    again = on_disk(tmp_path)
    assert held(again, PROMPT) == len(PROMPT)
    close(again)
    assert ahead(in_memory(), PROMPT) == []


def test_writing_ahead_waits_for_a_slow_disk(tmp_path: Path, slow_disk: threading.Event) -> None:
    tiers = on_disk(tmp_path)
    cells = Cells(PROMPT)
    steps = tiers.ahead(token_array(PROMPT), cells.save)
    for _ in range(4):
        next(steps)
    assert len(cells.saved) == 1
    slow_disk.set()
    for _ in steps:
        pass
    assert len(cells.saved) == 5
    close(tiers)


def test_writing_ahead_to_a_disk_too_small_comes_to_an_end(tmp_path: Path) -> None:
    disk = DiskTier(tmp_path, b"one", 600)
    assert disk.open()
    tiers = Tiers(b"one", HostTier(0), disk, size=SIZE)
    assert len(ahead(tiers, PROMPT)) == 5
    close(tiers)


def test_damage_costs_only_what_is_behind_it(tmp_path: Path) -> None:
    first = on_disk(tmp_path)
    offer(first, PROMPT)
    close(first)
    second = on_disk(tmp_path)
    assert second.match(token_array(PROMPT), len(PROMPT)) == len(PROMPT)
    path = next(tmp_path.rglob("00000040-*.kv"))
    path.write_bytes(path.read_bytes()[:-1])
    assert [part.stop for part in second.take(token_array(PROMPT), 0, len(PROMPT))] == [32, 64]
    assert not path.exists()
    assert held(second, PROMPT) == 64
    assert offer(second, PROMPT) == [(64, 96)]
    assert held(second, PROMPT) == len(PROMPT)
    close(second)


def test_a_dropped_piece_leaves_the_disk_too(tmp_path: Path) -> None:
    tiers = on_disk(tmp_path)
    offer(tiers, PROMPT[:32])
    (part,) = tiers.take(token_array(PROMPT), 0, len(PROMPT))
    tiers.drop(part.piece)
    close(tiers)
    assert not list(tmp_path.rglob("*.kv"))


def test_a_rest_gives_way_to_the_piece_it_grew_into(tmp_path: Path) -> None:
    tiers = on_disk(tmp_path, size=64)
    offer(tiers, PROMPT[:40])
    assert offer(tiers, PROMPT[:100]) == [(0, 64), (64, 100)]
    close(tiers)
    assert len(list(tmp_path.rglob("*.kv"))) == 2


def test_another_layout_has_nothing(tmp_path: Path) -> None:
    one = on_disk(tmp_path)
    offer(one, PROMPT)
    close(one)
    two = on_disk(tmp_path, layout=b"two")
    assert held(two, PROMPT) == 0
    close(two)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Tiers, Tiers]]:
    """Two processes with one folder."""
    monkeypatch.setattr(tiers_module, "_SCAN_PAUSE", 0)
    both = on_disk(tmp_path), on_disk(tmp_path)
    yield both
    for tiers in both:
        close(tiers)


def test_what_another_process_wrote_is_found(two: tuple[Tiers, Tiers]) -> None:
    one, other = two
    assert held(other, PROMPT) == 0
    offer(one, PROMPT)
    until(lambda: other.match(token_array(PROMPT), 999) == len(PROMPT))
    assert held(other, PROMPT) == len(PROMPT)


def test_what_another_process_removed_is_missed(two: tuple[Tiers, Tiers], tmp_path: Path) -> None:
    one, other = two
    offer(one, PROMPT)
    until(lambda: other.match(token_array(PROMPT), 999) == len(PROMPT))
    next(tmp_path.rglob("00000020-*.kv")).unlink()
    until(lambda: other.match(token_array(PROMPT), 999) == 32)
    assert offer(other, PROMPT) == [(32, 64)]
