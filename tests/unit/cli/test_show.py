"""What ``show`` makes of what the server says."""

from __future__ import annotations

import pytest

from pyollama.cli.show import summary


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "[]"),
        ([3, 3, 3], "[3 3 3]"),
        ([3] * 98, "[3 3 3 ...+95 more]"),
        (["[PAD]", "[UNK]", "a"], "[[PAD] ...+2 more]"),
        (["twelvecolumn", "b"], "[twelvecolumn ...+1 more]"),
    ],
)
def test_arrays_are_cut_to_a_few_columns(values: list[object], expected: str) -> None:
    details = {"parameter_size": "1M", "quantization_level": "F16", "family": "bert"}
    shown = {"details": details, "model_info": {"some.array": values}}
    assert f"some.array    {expected}" in summary(shown, verbose=True)
