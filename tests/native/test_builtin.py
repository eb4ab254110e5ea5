"""The model that ships with the package, as llama.cpp sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from pyollama import builtin
from pyollama._native import ChatTemplate, Context, Model, Sampler


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with Model(builtin.FOLDER / "model.gguf") as loaded:
        yield loaded


def test_any_text_comes_back_from_its_tokens(model: Model) -> None:
    for text in (bytes(range(128)), "Grüße, 世界! 🙂\r\n\n\t 1234".encode()):
        assert model.detokenize(model.tokenize(text)) == text


def test_turns_are_fenced_by_control_tokens(model: Model) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Who are you?"},
    ]
    request = {"messages": messages, "add_generation_prompt": True}
    assert ChatTemplate(model).apply(json.dumps(request)).prompt == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nWho are you?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert model.piece(model.eot, render_special=True) == b"<|im_end|>"
    assert not model.add_bos


@pytest.mark.parametrize(
    ("question", "word"),
    [("Who are you?", "pyollama"), ("What is the capital of France?", "Paris")],
)
def test_it_answers_and_stops(model: Model, question: str, word: str) -> None:
    prompt = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    tokens = model.tokenize(prompt, parse_special=True).tolist()
    answer: list[int] = []
    sampler = Sampler(model, temperature=0.0)
    with Context(model, n_ctx=256) as context:
        position = 0
        while True:
            count = len(tokens)
            context.decode(
                np.array(tokens, np.int32),
                np.arange(position, position + count, dtype=np.int32),
                np.zeros(count, np.int32),
                np.array([*[0] * (count - 1), 1], np.int8),
            )
            position += count
            token = int(context.sample(np.array([0], np.int32), [sampler])[0])
            if model.is_eog(token):
                break
            answer.append(token)
            assert len(answer) < 100
            tokens = [token]
    assert word in model.detokenize(answer).decode()
