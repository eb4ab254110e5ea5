from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from pyollama.errors import EngineError
from pyollama.service.choices import best, one_call, several
from pyollama.types import AnswerEvent, Delta, Done, TokenLogprob, ToolCall

_CALLS = (ToolCall("f", {}, index=0), ToolCall("g", {}, index=1))


class Answers:
    """Says a word again and again, ``most`` times; counts who is still at it."""

    def __init__(self, most: int = 3) -> None:
        self.running = 0
        self._most = most

    async def ask(self, word: str) -> AsyncGenerator[AnswerEvent, None]:
        self.running += 1
        try:
            if word == "fails":
                raise EngineError("it failed")
            for _ in range(self._most):
                await asyncio.sleep(0)
                yield Delta(word)
            yield Done("stop")
        finally:
            self.running -= 1


@pytest.mark.parametrize("words", [["a"], ["a", "b", "c"]])
async def test_all_answers_come_whole_and_in_their_order(words: list[str]) -> None:
    answers = Answers(most=200)
    found: dict[int, list[AnswerEvent]] = {}
    async for index, event in several(answers.ask, words):
        found.setdefault(index, []).append(event)
    assert found == {
        index: [*[Delta(word)] * 200, Done("stop")] for index, word in enumerate(words)
    }
    assert answers.running == 0


@pytest.mark.parametrize("words", [["fails"], ["a", "fails", "b"]])
async def test_one_failure_gives_up_the_others(words: list[str]) -> None:
    answers = Answers(most=1000)
    with pytest.raises(EngineError, match="it failed"):
        [event async for event in several(answers.ask, words)]
    assert answers.running == 0


async def test_leaving_gives_up_all() -> None:
    answers = Answers(most=1000)
    async with aclosing(several(answers.ask, ["a", "b"])) as events:
        await anext(events)
        assert answers.running == 2
    assert answers.running == 0


async def test_one_call_of_several() -> None:
    async def ask(_: str) -> AsyncGenerator[AnswerEvent, None]:
        yield Delta("text")
        yield Delta("more", tool_calls=_CALLS)
        yield Done("stop", tail=Delta(tool_calls=_CALLS[1:]))

    assert [event async for event in one_call(ask, "x")] == [
        Delta("text"),
        Delta("more", tool_calls=_CALLS[:1]),
        Done("stop"),
    ]


def test_the_best_are_the_likeliest_per_token() -> None:
    def answer(*logprobs: float) -> list[AnswerEvent]:
        entries = tuple(TokenLogprob("x", logprob, b"x") for logprob in logprobs)
        return [Delta(logprobs=entries[:1]), Done("stop", tail=Delta(logprobs=entries[1:]))]

    silent, good, better = answer(), answer(-1.0, -3.0), answer(-1.5, -1.5, -1.5)
    assert best([silent, good, better], 2) == [better, good]
    assert best([silent, good, better], 3)[-1] == silent
