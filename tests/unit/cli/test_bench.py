from __future__ import annotations

import pytest

from pyollama.cli.bench import Answer, figures, joint_rate


def answer(began: float, first: float, last: float, n_tokens: int) -> Answer:
    return Answer(began, first, last, n_prompt=100, n_tokens=n_tokens, prompt_rate=500.0)


def test_rates_leave_out_the_wait_for_the_first_token() -> None:
    one = answer(10.0, 12.0, 14.0, 11)
    assert one.wait == 2.0
    assert one.rate == 5.0


def test_an_answer_of_one_token_has_no_rate() -> None:
    assert answer(0.0, 1.0, 1.0, 1).rate is None


def test_a_joint_rate_lasts_from_the_first_request_to_the_last_token() -> None:
    assert joint_rate([answer(0.0, 1.0, 5.0, 10), answer(1.0, 2.0, 10.0, 20)]) == 3.0


def test_figures_of_all_rounds() -> None:
    alone = [answer(0, 1, 2, 11), answer(0, 1, 3, 11), answer(0, 1, 6, 11)]
    found = {each.key: each for each in figures(alone[:1], alone, [alone[:2], alone[1:]])}
    assert found["prompt"].label == "Prompt of 100 tokens"
    assert found["prompt"].median == 500
    assert found["stream"].to_json() == {"median": 5, "low": 2, "high": 10, "unit": "tokens/s"}
    assert found["streams"].label == "2 streams, all together"
    assert found["streams"].values == (22 / 3, 22 / 6)
    assert found["streams_first_token"].median == pytest.approx(1000)


def test_what_could_not_be_measured_is_left_out() -> None:
    short = [answer(0, 1, 1, 1)]
    assert {each.key for each in figures(short, short, [])} == {
        "prompt",
        "prompt_first_token",
        "stream_first_token",
    }
