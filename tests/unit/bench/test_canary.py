from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import gguf
import pytest
from bench import canary_model
from bench.canary import Canary, Seen, check, draw
from bench.canary_model import N_STEPS, answer, cue, step

WHOLE = Canary({"prompt": "x" + cue(3)}, answer(3), n_prompt=2, n_tokens=N_STEPS + 1)
END = {"done": True, "prompt_eval_count": 2, "eval_count": N_STEPS + 1, "done_reason": "stop"}


def wrong(canary: Canary, text: str, last: dict[str, Any]) -> list[str]:
    seen = Seen()
    check(canary, text, last, seen)
    return sorted(seen.wrong)


def test_the_right_answer_passes() -> None:
    assert wrong(WHOLE, answer(3), END) == []


@pytest.mark.parametrize(
    ("text", "change", "expected"),
    [
        (answer(4), {}, ["foreign or wrong text"]),
        (answer(3, 5) + step(4, 5), {}, ["foreign or wrong text"]),
        (answer(3), {"eval_count": N_STEPS}, ["wrong count of tokens"]),
        (answer(3), {"prompt_eval_count": 3}, ["wrong count of tokens"]),
        (answer(3), {"done_reason": "length"}, ["wrong count of tokens"]),
        (answer(3), {"done": False}, ["no end"]),
    ],
)
def test_what_is_wrong_is_named(text: str, change: dict[str, Any], expected: list[str]) -> None:
    assert wrong(WHOLE, text, END | change) == expected


def test_a_cancelled_answer_is_the_beginning_of_the_right_one() -> None:
    cancelled = Canary(WHOLE.body, answer(3), 2, hang_up=4)
    assert wrong(cancelled, answer(3, 4), {"done": False}) == []
    assert wrong(cancelled, answer(5, 4), {"done": False}) == ["foreign or wrong text"]


def test_an_answer_where_a_refusal_was_due_is_wrong() -> None:
    assert "wrong status" in wrong(Canary(WHOLE.body, status=400), "", {"done": True})


def test_the_mix_has_everything_and_repeats() -> None:
    first, second = ([draw(random.Random(n)) for n in range(200)] for _ in range(2))
    assert first == second
    assert {c.status for c in first} == {200, 400, 404}
    assert any(c.hang_up == 0 for c in first) and any(c.reason == "length" for c in first)
    assert any("stop" in c.body["options"] for c in first if c.status == 200)


def test_the_model_is_written(tmp_path: Path) -> None:
    canary_model.write(tmp_path / "canary.gguf")
    reader = gguf.GGUFReader(tmp_path / "canary.gguf")
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    assert cue(7) in tokens and step(199, N_STEPS - 1) in tokens
    (embeddings,) = (t for t in reader.tensors if t.name == "token_embd.weight")
    lengths = (embeddings.data.astype(float) ** 2).sum(axis=1)
    assert lengths.min() == pytest.approx(lengths.max(), rel=1e-2)  # one norm for all
