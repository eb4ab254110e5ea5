"""Sequences in memory: removing, copying, moving, saving - for each kind of memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.native import steps

from pyollama import errors
from pyollama._native import Context, Model

PREFIX = [11, 12, 13, 14, 15, 16]


def spans(context: Context, count: int = 4) -> list[tuple[int, int]]:
    return [(context.seq_pos_min(seq), context.seq_pos_max(seq)) for seq in range(count)]


def test_a_copied_prefix_equals_a_computed_one(context: Context) -> None:
    expected = steps.last_logits(context, [*PREFIX, 1, 2], seq=3)
    steps.feed(context, PREFIX, seq=0)
    context.seq_cp(0, 1)
    np.testing.assert_allclose(
        steps.last_logits(context, [1, 2], seq=1, start=6), expected, atol=1e-4
    )
    assert spans(context) == [(0, 5), (0, 7), (-1, -1), (0, 7)]


def test_a_part_can_be_copied_and_removed(context: Context) -> None:
    steps.feed(context, PREFIX, seq=0)
    context.seq_cp(0, 1, 0, 3)
    assert context.seq_rm(0, 4)
    assert spans(context)[:2] == [(0, 3), (0, 2)]
    context.seq_keep(1)
    assert spans(context)[:2] == [(-1, -1), (0, 2)]
    context.clear()
    assert spans(context)[:2] == [(-1, -1), (-1, -1)]


def test_a_removed_end_is_computed_again(context: Context) -> None:
    expected = steps.last_logits(context, [*PREFIX, 7], seq=1)
    steps.feed(context, [*PREFIX, 99, 98], seq=0)
    assert context.seq_rm(0, 6)
    np.testing.assert_allclose(steps.last_logits(context, [7], seq=0, start=6), expected, atol=1e-4)


def test_copying_onto_tokens_is_refused(context: Context) -> None:
    steps.feed(context, PREFIX, seq=0)
    steps.feed(context, [1, 2], seq=1)
    with pytest.raises(errors.InvalidRequest, match="sequence 1 is not empty there"):
        context.seq_cp(0, 1)
    context.seq_cp(0, 1, 2)
    assert spans(context)[1] == (0, 5)


def test_a_shift_moves_positions(context: Context) -> None:
    assert context.can_shift
    steps.feed(context, PREFIX, seq=0)
    assert context.seq_rm(0, 1, 3)
    context.seq_add(0, 3, -1, -2)
    assert spans(context)[0] == (0, 3)
    assert np.isfinite(steps.last_logits(context, [1], seq=0, start=4)).all()
    context.seq_div(0, 0, -1, 2)
    assert spans(context)[0] == (0, 2)


def test_moving_shared_cells_moves_nobody_else(context: Context) -> None:
    expected = steps.last_logits(context, [*PREFIX, 9], seq=3)
    moved = steps.last_logits(context, [11, 14, 15, 16, 9], seq=2)
    context.clear()
    steps.feed(context, PREFIX, seq=0)
    context.seq_cp(0, 1)
    context.seq_cp(1, 2)
    assert context.seq_rm(1)
    assert context.seq_rm(2, 1, 3)
    context.seq_add(2, 3, -1, -2)
    assert spans(context)[:3] == [(0, 5), (-1, -1), (0, 3)]
    logits = steps.last_logits(context, [9], seq=0, start=6)
    np.testing.assert_allclose(logits, expected, atol=1e-3)
    # what was computed behind the removed tokens still knows them, but the rest must be close
    assert np.corrcoef(steps.last_logits(context, [9], seq=2, start=4), moved)[0][1] > 0.5
    context.seq_cp(0, 1)
    context.seq_div(1, 2, -1, 2)
    assert spans(context)[:2] == [(0, 6), (0, 3)]


def test_own_cells_behind_a_shared_prefix_move(context: Context) -> None:
    steps.feed(context, PREFIX, seq=0)
    context.seq_cp(0, 1)
    steps.feed(context, [1, 2, 3, 4], seq=1, start=6)
    assert context.seq_rm(1, 6, 8)
    context.seq_add(1, 8, -1, -2)
    assert spans(context)[:2] == [(0, 5), (0, 7)]
    logits = steps.last_logits(context, [9], seq=0, start=6)
    context.clear()
    np.testing.assert_allclose(steps.last_logits(context, [*PREFIX, 9]), logits, atol=1e-3)


def test_without_room_shared_cells_stay(model: Model) -> None:
    with Context(model, n_ctx=256, n_seq_max=3) as context:
        steps.feed(context, [i % 200 for i in range(120)])
        context.seq_cp(0, 1)
        context.seq_cp(0, 2)
        with pytest.raises(errors.OutOfCells, match="shares cells"):
            context.seq_add(1, 60, -1, 5)
        assert spans(context, 3) == [(0, 119)] * 3
        assert context.seq_rm(2)
        context.seq_add(1, 60, -1, 5)
        assert spans(context, 2) == [(0, 119), (0, 124)]


@pytest.mark.parametrize(("p0", "delta"), [(0, -1), (3, -4), (0, 2**31 - 3)])
def test_a_shift_out_of_the_positions_is_refused(context: Context, p0: int, delta: int) -> None:
    steps.feed(context, PREFIX)
    with pytest.raises(errors.InvalidRequest, match="range of positions"):
        context.seq_add(0, p0, -1, delta)


@pytest.mark.parametrize("seq", [-1, 4, 1000])
def test_sequences_that_do_not_exist_are_refused(context: Context, seq: int) -> None:
    for use in (
        lambda: context.seq_rm(seq),
        lambda: context.seq_cp(0, seq),
        lambda: context.seq_cp(seq, 0),
        lambda: context.seq_keep(seq),
        lambda: context.seq_add(seq, 0, 1, 1),
        lambda: context.seq_div(seq, 0, 1, 2),
        lambda: context.seq_pos_min(seq),
        lambda: context.seq_pos_max(seq),
        lambda: context.state_seq(seq),
        lambda: context.set_state_seq(seq, b""),
    ):
        with pytest.raises(errors.InvalidRequest, match="does not exist"):
            use()
    with pytest.raises(errors.InvalidRequest, match="divisor"):
        context.seq_div(0, 0, 1, 0)


@pytest.mark.parametrize("name", ["llama", "gemma3", "mamba"])
def test_a_saved_state_goes_on_as_the_original(folder: Path, tmp_path: Path, name: str) -> None:
    with Model(folder / f"{name}.gguf") as model:
        with Context(model, n_ctx=512, n_seq_max=2) as context:
            steps.feed(context, PREFIX, seq=1)
            state = context.state_seq(1)
            assert len(state) == context.state_seq_size(1)
            assert context.save_state_seq(tmp_path / "state", 1, PREFIX) == len(state) + 4 * 6
            expected = steps.last_logits(context, [1], seq=1, start=6)
        with Context(model, n_ctx=256) as context:
            assert context.set_state_seq(0, state).tolist() == []
            np.testing.assert_allclose(
                steps.last_logits(context, [1], start=6), expected, atol=1e-4
            )
            assert context.load_state_seq(tmp_path / "state", 0).tolist() == PREFIX
            np.testing.assert_allclose(
                steps.last_logits(context, [1], start=6), expected, atol=1e-4
            )


def test_a_state_of_another_shape_is_refused(folder: Path, context: Context) -> None:
    with Model(folder / "gemma3.gguf") as other, Context(other, n_ctx=256) as foreign:
        steps.feed(foreign, PREFIX)
        state = foreign.state_seq(0)
    steps.feed(context, [1, 2, 3])
    with pytest.raises(errors.NativeError):
        context.set_state_seq(0, state)
    assert spans(context)[0] == (-1, -1)
    assert steps.feed(context, [1]) == 1


@given(data=st.data())
def test_damaged_states_change_nothing(model: Model, data: st.DataObject) -> None:
    with Context(model, n_ctx=256, n_seq_max=2) as context:
        steps.feed(context, PREFIX)
        state = bytearray(context.state_seq(0, PREFIX))
        if data.draw(st.booleans()):
            del state[data.draw(st.integers(0, len(state) - 1)) :]
        else:
            at = data.draw(st.integers(0, len(state) - 1))
            state[at] ^= data.draw(st.integers(1, 255))
        with pytest.raises(errors.NativeError, match="damaged"):
            context.set_state_seq(0, state)
        assert steps.feed(context, [1], seq=0, start=len(PREFIX)) == 1


def test_damaged_state_files_are_refused(context: Context, tmp_path: Path) -> None:
    steps.feed(context, PREFIX)
    path = tmp_path / "state"
    context.save_state_seq(path, 0, PREFIX)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(errors.NativeError, match="damaged"):
        context.load_state_seq(path, 1)
    with pytest.raises(FileNotFoundError):
        context.load_state_seq(tmp_path / "nothing", 1)
    with pytest.raises(FileNotFoundError):
        context.save_state_seq(tmp_path / "no" / "folder", 0)
    assert steps.feed(context, [1], seq=1) == 1


def test_moves_that_are_pending_are_not_saved(context: Context) -> None:
    steps.feed(context, PREFIX)
    context.seq_rm(0, 0, 2)
    context.seq_add(0, 2, -1, -2)
    with pytest.raises(errors.InvalidRequest, match="decode a batch before"):
        context.state_seq(0)
    steps.feed(context, [1], start=4)
    assert context.state_seq(0)


def test_separate_pools_copy_whole_sequences(model: Model) -> None:
    with Context(model, n_ctx=768, n_seq_max=3, kv_unified=False) as context:
        assert not context.kv_unified
        assert context.n_ctx_seq == 256
        expected = steps.last_logits(context, [*PREFIX, 7], seq=2)
        steps.feed(context, PREFIX, seq=0)
        with pytest.raises(errors.InvalidRequest, match="as a whole"):
            context.seq_cp(0, 1, 0, 3)
        context.seq_cp(0, 1)
        with pytest.raises(errors.InvalidRequest, match="decode a batch before"):
            context.state_seq(1)
        np.testing.assert_allclose(
            steps.last_logits(context, [7], seq=1, start=6), expected, atol=1e-4
        )
        context.seq_keep(1)
        assert spans(context, 3) == [(-1, -1), (0, 6), (-1, -1)]


def test_a_recurrent_state_is_all_or_nothing(folder: Path) -> None:
    with (
        Model(folder / "mamba.gguf") as model,
        Context(model, n_ctx=256, n_seq_max=3) as context,
    ):
        assert context.has_memory
        assert not context.supports_partial_removal
        expected = steps.last_logits(context, [*PREFIX, 7], seq=2)
        steps.feed(context, PREFIX, seq=0)
        for p0, p1 in ((2, -1), (0, 3), (5, 6)):
            assert not context.seq_rm(0, p0, p1)
        with pytest.raises(errors.InvalidRequest, match="as a whole"):
            context.seq_cp(0, 1, 0, 3)
        context.seq_cp(0, 1)
        np.testing.assert_allclose(
            steps.last_logits(context, [7], seq=1, start=6), expected, atol=1e-4
        )
        np.testing.assert_allclose(
            steps.last_logits(context, [7], seq=0, start=6), expected, atol=1e-4
        )
        assert context.seq_rm(0)
        assert spans(context, 3)[0] == (-1, -1)


def test_a_short_window_forgets(folder: Path) -> None:
    tokens = [i % 200 for i in range(400)]
    with Model(folder / "gemma3.gguf") as model:
        assert model.n_swa == 16
        with Context(model, n_ctx=512, n_ubatch=32, swa_full=False) as context:
            assert not context.swa_full
            for start in range(0, 400, 20):
                logits = steps.last_logits(context, tokens[start : start + 20], start=start)
            assert context.seq_pos_min(0) > 0
        with Context(model, n_ctx=512, n_ubatch=32) as context:
            assert context.swa_full
            np.testing.assert_allclose(steps.last_logits(context, tokens), logits, atol=1e-3)
            assert context.seq_pos_min(0) == 0
