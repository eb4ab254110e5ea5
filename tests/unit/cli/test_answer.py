"""What is written of an answer where nobody watches a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from pyollama.cli.answer import Look, show_answer

_FRAMES: list[dict[str, Any]] = [
    {"message": {"role": "assistant", "content": "", "thinking": "\nOne. "}},
    {"message": {"role": "assistant", "content": "", "thinking": "Two."}},
    {"message": {"role": "assistant", "content": "# Yes,"}},
    {"message": {"role": "assistant", "content": " *so*."}, "done": True, "eval_count": 3},
]


def test_thinking_stands_before_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    answer = show_answer(iter(_FRAMES), Look())
    assert capsys.readouterr().out == "Thinking...\nOne. Two.\n...done thinking.\n\n# Yes, *so*."
    assert (answer.thinking, answer.content) == ("\nOne. Two.", "# Yes, *so*.")
    assert answer.last["eval_count"] == 3


def test_hidden_thinking_is_still_part_of_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    answer = show_answer(iter(_FRAMES), Look(hide_thinking=True))
    assert capsys.readouterr().out == "# Yes, *so*."
    assert answer.thinking == "\nOne. Two."
