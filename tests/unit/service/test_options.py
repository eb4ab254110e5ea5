from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import InvalidOption
from pyollama.service.options import Options, merge
from pyollama.types import LoadOptions, SamplingParams


def test_nothing_given_leaves_the_defaults() -> None:
    assert merge({}, {}) == Options(LoadOptions(), SamplingParams())


def test_the_request_wins_over_the_model_and_null_is_absent() -> None:
    model = {"temperature": 0, "stop": ["a"], "num_predict": 12, "top_k": 5}
    options = merge(model, {"temperature": 1, "stop": None, "num_predict": 3})
    assert options.sampling.temperature == 1.0
    assert options.sampling.top_k == 5
    assert options.stop == ("a",)
    assert options.num_predict == 3


def test_unknown_names_are_ignored() -> None:
    assert merge({}, {"nonsense": {"a": 1}, "use_mlock": True}) == merge({}, {})


def test_fractions_are_cut_for_integers() -> None:
    assert merge({}, {"num_predict": 2.9, "top_k": -1.5}).num_predict == 2


def test_numbers_out_of_range_are_brought_into_it() -> None:
    options = merge({}, {"seed": 1e30, "top_k": -1e30, "num_ctx": 10**400})
    assert 0 <= options.sampling.seed < 1 << 32
    assert options.sampling.top_k == -(1 << 31)
    assert options.load.num_ctx == (1 << 31) - 1
    assert merge({}, {"seed": -1}).sampling.seed == -1


def test_drafts_are_left_to_the_engine_unless_somebody_asks() -> None:
    assert merge({}, {}).draft_num_predict == -1
    assert merge({"draft_num_predict": 4}, {}).draft_num_predict == 4
    assert merge({"draft_num_predict": 4}, {"draft_num_predict": 0}).draft_num_predict == 0


@pytest.mark.parametrize(("asked", "used"), [(0, None), (1, 4), (-5, 4), (4096, 4096)])
def test_context_sizes(asked: int, used: int | None) -> None:
    assert merge({}, {"num_ctx": asked}).load.num_ctx == used


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("num_predict", "3", "of type integer"),
        ("num_ctx", True, "of type integer"),
        ("seed", float("inf"), "of type integer"),
        ("temperature", "hot", "of type float32"),
        ("use_mmap", 1, "of type boolean"),
        ("stop", "x", "of type array"),
        ("stop", ["x", 1], "of an array of strings"),
    ],
)
def test_wrong_types(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(InvalidOption, match=f'option "{name}" must be {wanted}') as caught:
        merge({name: value}, {})
    assert caught.value.details["field"] == f"options.{name}"


@pytest.mark.parametrize(
    ("asked", "tokens"), [(5, 5), (-1, 1000), (-2, 1000), (0, 1000), (1001, 1000), (1000, 1000)]
)
def test_answers_end_after_ten_contexts(asked: int, tokens: int) -> None:
    assert merge({}, {"num_predict": asked}).max_tokens(100) == tokens


_names = st.sampled_from(["num_ctx", "seed", "temperature", "stop", "use_mmap", "other"])
_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(st.dictionaries(_names, _values), st.dictionaries(_names, _values))
def test_any_values_are_used_or_refused(model: dict[str, Any], request: dict[str, Any]) -> None:
    try:
        options = merge(model, request)
    except InvalidOption:
        return
    assert options.load.num_ctx is None or options.load.num_ctx >= 4
